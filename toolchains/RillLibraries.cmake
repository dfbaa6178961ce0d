# Every library that Rill uses. One that is not found is reported with the package that brings it, which is looked up in
# packages.txt by the library's name, so that packages are named in that file alone.
include_guard()

function(rill_missing library)
  file(STRINGS ${CMAKE_SOURCE_DIR}/toolchains/packages.txt line REGEX " ${library}:")
  string(REGEX REPLACE "^[a-z]+ +([^ ]+) .*" "\\1" package "${line}")
  message(FATAL_ERROR "${library} was not found. Install it (on Debian: apt-get install ${package}), or run "
                      "toolchains/install-packages.sh, which installs everything that the build needs.")
endfunction()

# rill_find(LIBRARY VARIABLE HEADER NAME): for libraries that bring no CMake package. Sets VARIABLE_INCLUDE and
# VARIABLE_LIBRARY.
function(rill_find library variable header name)
  find_path(${variable}_INCLUDE ${header})
  find_library(${variable}_LIBRARY ${name})
  mark_as_advanced(${variable}_INCLUDE ${variable}_LIBRARY)
  if(NOT ${variable}_INCLUDE OR NOT ${variable}_LIBRARY)
    rill_missing(${library})
  endif()
endfunction()

find_package(Threads REQUIRED)

find_package(ZLIB QUIET)
if(NOT ZLIB_FOUND)
  rill_missing(zlib)
endif()

rill_find(SentencePiece RILL_SENTENCEPIECE sentencepiece_processor.h sentencepiece)
rill_find(PCRE2 RILL_PCRE2 pcre2.h pcre2-8)
rill_find(utf8proc RILL_UTF8PROC utf8proc.h utf8proc)
rill_find(libedit RILL_LIBEDIT editline/readline.h edit)
if(RILL_STATIC)  # a shared library names what it needs itself
  foreach(needed tinfo bsd md)
    find_library(RILL_${needed}_LIBRARY ${needed} REQUIRED)
    mark_as_advanced(RILL_${needed}_LIBRARY)
    list(APPEND RILL_LIBEDIT_LIBRARY ${RILL_${needed}_LIBRARY})
  endforeach()
endif()

# Linux only; elsewhere, and where it is switched off, `--sandbox` says that it is not there.
include(CMakeDependentOption)
cmake_dependent_option(RILL_SANDBOX "Build `--sandbox` (needs libseccomp)" ON "CMAKE_SYSTEM_NAME STREQUAL Linux" OFF)
if(RILL_SANDBOX)
  rill_find(libseccomp RILL_SECCOMP seccomp.h seccomp)
endif()

find_package(nlohmann_json QUIET)
if(NOT nlohmann_json_FOUND)
  rill_missing(nlohmann-json)
endif()

find_package(CLI11 QUIET)
if(NOT CLI11_FOUND)
  rill_missing(CLI11)
endif()

if(RILL_BUILD_TESTS)
  find_package(GTest QUIET)
  if(NOT GTest_FOUND)
    rill_missing(GoogleTest)
  endif()
  if(NOT CMAKE_CROSSCOMPILING)  # times that an emulator takes say nothing
    find_package(benchmark QUIET)
    if(NOT benchmark_FOUND)
      rill_missing("Google Benchmark")
    endif()
  endif()
endif()
