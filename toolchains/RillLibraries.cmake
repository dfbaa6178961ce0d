# Every library that Rill uses, checked here with the name of the Debian package that brings it.
include_guard()

function(rill_missing what package)
  message(FATAL_ERROR "${what} was not found. Install the package ${package} (on Debian: apt-get install ${package}), "
                      "or run toolchains/install-packages.sh, which installs everything in toolchains/packages.txt.")
endfunction()

find_package(Threads REQUIRED)

find_package(ZLIB QUIET)
if(NOT ZLIB_FOUND)
  rill_missing(zlib zlib1g-dev)
endif()

find_path(RILL_SENTENCEPIECE_INCLUDE sentencepiece_processor.h)
find_library(RILL_SENTENCEPIECE_LIBRARY sentencepiece)
if(NOT RILL_SENTENCEPIECE_INCLUDE OR NOT RILL_SENTENCEPIECE_LIBRARY)
  rill_missing(libsentencepiece libsentencepiece-dev)
endif()

find_path(RILL_PCRE2_INCLUDE pcre2.h)
find_library(RILL_PCRE2_LIBRARY pcre2-8)
if(NOT RILL_PCRE2_INCLUDE OR NOT RILL_PCRE2_LIBRARY)
  rill_missing(PCRE2 libpcre2-dev)
endif()

find_package(nlohmann_json QUIET)
if(NOT nlohmann_json_FOUND)
  rill_missing(nlohmann-json nlohmann-json3-dev)
endif()

find_package(CLI11 QUIET)
if(NOT CLI11_FOUND)
  rill_missing(CLI11 libcli11-dev)
endif()

find_path(RILL_LIBEDIT_INCLUDE editline/readline.h)
find_library(RILL_LIBEDIT_LIBRARY edit)
if(NOT RILL_LIBEDIT_INCLUDE OR NOT RILL_LIBEDIT_LIBRARY)
  rill_missing(libedit libedit-dev)
endif()

if(RILL_BUILD_TESTS OR NOT DEFINED RILL_BUILD_TESTS)
  find_package(GTest QUIET)
  if(NOT GTest_FOUND)
    rill_missing(GoogleTest libgtest-dev)
  endif()
endif()
