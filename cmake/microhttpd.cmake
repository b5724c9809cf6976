# SPDX-License-Identifier: Apache-2.0

# Target mhd: libmicrohttpd, static, never older than 1.0.10 (older ones have known holes: see
# tools/libmicrohttpd.sh, which builds it once and prints where it is). CAPSTAN_MHD_ROOT names another build.
set(CAPSTAN_MHD_ROOT "" CACHE PATH "prefix of a static libmicrohttpd >= 1.0.10; empty: build it")
set(mhd_root "${CAPSTAN_MHD_ROOT}")
if(NOT mhd_root)
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/libmicrohttpd.sh
    OUTPUT_VARIABLE mhd_root OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE mhd_failed)
  if(mhd_failed)
    message(FATAL_ERROR "libmicrohttpd could not be built; the lines above say why")
  endif()
endif()

set(mhd_archive ${mhd_root}/lib/libmicrohttpd.a)
set(mhd_header ${mhd_root}/include/microhttpd.h)
if(NOT EXISTS ${mhd_archive} OR NOT EXISTS ${mhd_header})
  message(FATAL_ERROR "no libmicrohttpd.a and microhttpd.h below ${mhd_root}")
endif()
# 0x01001001 is 1.0.10-1: one byte each for major, minor and patch level in BCD, then the revision.
file(STRINGS ${mhd_header} mhd_version REGEX "^#define MHD_VERSION 0x")
string(REGEX REPLACE ".*(0x[0-9a-fA-F]+).*" "\\1" mhd_version "${mhd_version}")
if(NOT mhd_version MATCHES "^0x" OR mhd_version LESS 0x01001000)
  message(FATAL_ERROR "libmicrohttpd below ${mhd_root} is older than 1.0.10 (${mhd_version})")
endif()

add_library(mhd STATIC IMPORTED)
set_target_properties(mhd PROPERTIES
  IMPORTED_LOCATION ${mhd_archive}
  INTERFACE_INCLUDE_DIRECTORIES ${mhd_root}/include
  INTERFACE_LINK_LIBRARIES pthread)
# src/http/mhd_epoll.c says why; -u pulls it out of its archive before libmicrohttpd is seen.
set_property(TARGET mhd PROPERTY INTERFACE_LINK_OPTIONS
  -Wl,--wrap=epoll_wait -Wl,--wrap=write -Wl,--wrap=MHD_create_response_from_buffer_static
  -Wl,--wrap=MHD_parse_arguments_ -Wl,-u,__wrap_epoll_wait)
# src/http/mhd_pool.c takes the place of all of memorypool.c.
foreach(name create destroy get_free allocate is_resizable_inplace try_alloc reallocate deallocate reset)
  set_property(TARGET mhd APPEND PROPERTY INTERFACE_LINK_OPTIONS -Wl,--wrap=MHD_pool_${name})
endforeach()
set_property(TARGET mhd APPEND PROPERTY INTERFACE_LINK_OPTIONS -Wl,-u,__wrap_MHD_pool_create)
