# What the toolchain files of both ARM targets share. They set rill_target, the folder of its libraries in
# build/sysroot (made by toolchains/sysroot.sh), and rill_triple, which names its compilers; then they include this file.

set(CMAKE_SYSTEM_NAME Linux)
set(rill_sysroot ${CMAKE_CURRENT_LIST_DIR}/../build/sysroot/${rill_target})
if(NOT EXISTS ${rill_sysroot}/complete)
  message(FATAL_ERROR "The target's libraries are not there. Run toolchains/cross.sh ${rill_target}, which gets them and "
                      "then builds, or toolchains/sysroot.sh ${rill_target}, which only gets them.")
endif()

# -DRILL_CROSS_CLANG=ON compiles with clang, which takes the C library and the linker of gcc's cross packages.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES RILL_CROSS_CLANG)
if(RILL_CROSS_CLANG)
  set(CMAKE_C_COMPILER clang)
  set(CMAKE_CXX_COMPILER clang++)
  set(CMAKE_C_COMPILER_TARGET ${rill_triple})
  set(CMAKE_CXX_COMPILER_TARGET ${rill_triple})
else()
  set(CMAKE_C_COMPILER ${rill_triple}-gcc)
  set(CMAKE_CXX_COMPILER ${rill_triple}-g++)
endif()
set(CMAKE_STRIP ${rill_triple}-strip)
set(CMAKE_LIBRARY_ARCHITECTURE ${rill_triple})

# Headers and libraries are the target's alone; programs are this machine's.
set(CMAKE_FIND_ROOT_PATH ${rill_sysroot})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
