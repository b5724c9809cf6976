# SPDX-License-Identifier: Apache-2.0

# layer(<name> [DEPENDS <layer>...] [LIBRARIES <target>...])
#
# A static library of src/<name>/*.c. The only project headers on its include path are include/<name>/
# and those of DEPENDS (and theirs): each layer's headers are reached through a folder of its own that
# holds one link, so that "store/run.h" resolves below tracking and not below db.
function(layer name)
  cmake_parse_arguments(LAYER "" "" "DEPENDS;LIBRARIES" ${ARGN})
  set(view ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${view})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/include/${name} ${view}/${name} SYMBOLIC)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC ${view})
    target_link_libraries(${name} PUBLIC ${LAYER_DEPENDS} ${LAYER_LIBRARIES} PRIVATE capstan_flags)
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${view})
    target_link_libraries(${name} INTERFACE ${LAYER_DEPENDS} ${LAYER_LIBRARIES})
  endif()
endfunction()
