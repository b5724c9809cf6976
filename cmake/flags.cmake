# SPDX-License-Identifier: Apache-2.0

# The warnings and hardening of everything we compile.
add_library(capstan_flags INTERFACE)
target_compile_definitions(capstan_flags INTERFACE _GNU_SOURCE CAPSTAN_VERSION="${PROJECT_VERSION}")
target_compile_options(capstan_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes
  -Werror
  -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE -fno-common -pthread)
target_link_options(capstan_flags INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack -pthread)

if(CAPSTAN_SANITIZE STREQUAL "address")
  target_compile_definitions(capstan_flags INTERFACE ARENA_DEBUG)
  target_compile_options(capstan_flags INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(capstan_flags INTERFACE -fsanitize=address,undefined)
elseif(CAPSTAN_SANITIZE STREQUAL "thread")
  target_compile_options(capstan_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(capstan_flags INTERFACE -fsanitize=thread)
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(capstan_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
