# Flags for every target of the project, and the helper that builds one kernel set.
include_guard()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported()  # without it CMake compiles position-independent programs and does not link them as such
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# Sizes and times of files beyond 2 GiB and 2038, on every machine of 32 bits, and in a build folder that remembers older
# flags. The toolchain file for ARM says the same, for the library that is built without this file.
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
  add_compile_definitions(_FILE_OFFSET_BITS=64 _TIME_BITS=64)
endif()

option(RILL_WARNINGS "Warn of what Rill's own code is free of, and take it for errors" ${PROJECT_IS_TOP_LEVEL})
option(RILL_WARNINGS_AS_ERRORS "Treat compiler warnings as errors" ${RILL_WARNINGS})
set(RILL_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them: address,undefined or thread")

option(RILL_STATIC "Programs that need no library of the system they run on, for boards" OFF)
if(RILL_STATIC)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  if(RILL_STATIC_PIE)  # the toolchain file knows whether the C library can start such a program
    set(CMAKE_CXX_LINK_OPTIONS_PIE -fPIE -static-pie)
  else()
    set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
    set(CMAKE_CXX_LINK_OPTIONS_NO_PIE -no-pie -static)
  endif()
  # What no program calls is left out of it; it is most of the libraries.
  add_compile_options(-ffunction-sections -fdata-sections)
  # Command lines and JSON are most of the code and none of the time: small. The runtime's flags stay as they are.
  set(RILL_SMALL -Os)
  add_link_options(-Wl,--gc-sections $<$<CONFIG:Release>:-s>)
endif()

add_library(rill_flags INTERFACE)
target_compile_features(rill_flags INTERFACE cxx_std_20)  # of a project that has Rill in it as well
target_include_directories(rill_flags INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                                $<INSTALL_INTERFACE:include/rill>)
# Who uses an installed library compiles with flags of their own, but for those of the sanitizers that it was built with.
set(own_options
  # A multiply-add is fused only where the source says so: otherwise bits would depend on the compiler (DESIGN 5).
  -ffp-contract=off
  # In batches GCC takes a source for a header, where a type whose parts are one file's alone is a mistake.
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<BOOL:$<TARGET_PROPERTY:UNITY_BUILD>>>:-Wno-subobject-linkage>
  # 32-bit ARM: GCC 7 changed how some arguments are passed, which matters to nobody who compiles all of it.
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<EQUAL:${CMAKE_SIZEOF_VOID_P},4>>:-Wno-psabi>
  # 32-bit NEON takes denormals for zero: clang makes its instructions of the lanes that are written as scalars for that.
  $<$<AND:$<CXX_COMPILER_ID:Clang>,$<EQUAL:${CMAKE_SIZEOF_VOID_P},4>>:-fno-slp-vectorize>)
if(RILL_WARNINGS)
  list(APPEND own_options -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast)
endif()
if(RILL_WARNINGS_AS_ERRORS)
  list(APPEND own_options -Werror)
endif()

# Model files come from strangers: should a bug let one write where it must not, these make it hard to go on from there.
target_link_options(rill_flags INTERFACE $<BUILD_INTERFACE:-Wl,-z,relro,-z,now>)
if(RILL_SANITIZE)
  # -Og -g1: more would more than double the time that sanitized files take to compile, for tests that run in seconds; -O1
  # alone adds a third, and a minute for the unrolled tiles of AVX-512.
  set(sanitize -fsanitize=${RILL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -Og -g1)
  target_compile_options(rill_flags INTERFACE ${sanitize})
  target_link_options(rill_flags INTERFACE ${sanitize})
else()
  # Not together with the sanitizers, which check the same calls better.
  list(APPEND own_options -fstack-protector-strong)
  # Of Rill's own files only: a project that has Rill in it, and some distributions' compilers, choose a level themselves.
  add_compile_options($<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
endif()
target_compile_options(rill_flags INTERFACE "$<BUILD_INTERFACE:${own_options}>")
# The standard library's own checks, such as a span's index: no sanitizer sees one that stays inside the arena.
if(RILL_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(rill_flags INTERFACE _GLIBCXX_ASSERTIONS)
endif()

# rill_kernels(NAME ARCHITECTURE FLAGS...): platform/kernels/NAME.cc, its flags, and its row in the table of kernel sets.
# A set for another architecture than the target's is left out. ARCHITECTURE `any` is built everywhere.
set_property(GLOBAL PROPERTY RILL_KERNEL_SETS "")
function(rill_kernels name architecture)
  if(NOT architecture STREQUAL "any" AND NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(${architecture})$")
    return()
  endif()
  set_property(GLOBAL APPEND PROPERTY RILL_KERNEL_SETS ${name})
  set_property(SOURCE ${PROJECT_SOURCE_DIR}/platform/kernels/${name}.cc
               DIRECTORY ${PROJECT_SOURCE_DIR}/platform PROPERTY COMPILE_OPTIONS ${ARGN})
endfunction()
