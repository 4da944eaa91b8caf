# What a build can choose. No option changes a public header: options add targets, warnings or instrumentation
# only.

option(AGORA_TESTS "Build the tests" ON)
option(AGORA_FUZZ "Build the fuzz targets (needs clang)" OFF)
option(AGORA_PRECOMPILED "Precompile what most files include: a first build takes a fifth less" OFF)
set(AGORA_SANITIZE "" CACHE STRING "Sanitizers to build with: 'address,undefined' or 'thread'")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# Results may not change with the compiler's mood: no contraction of a*b+c unless a kernel asks for it.
add_compile_options(-Wall -Wextra -Werror -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options(-Wthread-safety)
endif()

if(AGORA_SANITIZE)
  add_compile_options(-O1 -fsanitize=${AGORA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g1)
  add_link_options(-fsanitize=${AGORA_SANITIZE})
endif()
