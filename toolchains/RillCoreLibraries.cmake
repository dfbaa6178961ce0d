# What the library itself needs, as imported targets: zlib, and Rill::NAME for the rest. An installed library brings this
# file and packages.txt with it and asks anew, so that it names no path of the machine that built it. One that is not found
# is reported with the package that brings it, which is looked up in packages.txt by the library's name.
include_guard(DIRECTORY)  # as far as the targets are known

# In a package that is found it is the finder's to say so: RillConfig.cmake.
function(rill_missing library)
  file(STRINGS ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/packages.txt line REGEX " ${library}:")
  string(REGEX REPLACE "^[a-z]+ +([^ ]+) .*" "\\1" package "${line}")
  if(CMAKE_FIND_PACKAGE_NAME STREQUAL "Rill")
    set_property(GLOBAL APPEND_STRING PROPERTY RILL_MISSING "${library} was not found (on Debian: ${package}). ")
    return()
  endif()
  message(FATAL_ERROR "${library} was not found. Install it (on Debian: apt-get install ${package}), or run "
                      "toolchains/install-packages.sh, which installs everything that the build needs.")
endfunction()

# rill_find(LIBRARY TARGET HEADER NAME): for libraries that bring no CMake package. Makes the target Rill::TARGET.
function(rill_find library target header name)
  find_path(RILL_${target}_INCLUDE ${header})
  find_library(RILL_${target}_LIBRARY ${name})
  mark_as_advanced(RILL_${target}_INCLUDE RILL_${target}_LIBRARY)
  if(NOT RILL_${target}_INCLUDE OR NOT RILL_${target}_LIBRARY)
    rill_missing(${library})
    return()
  endif()
  add_library(Rill::${target} UNKNOWN IMPORTED)
  set_target_properties(Rill::${target} PROPERTIES IMPORTED_LOCATION ${RILL_${target}_LIBRARY}
                                                   INTERFACE_INCLUDE_DIRECTORIES ${RILL_${target}_INCLUDE})
endfunction()

find_package(Threads REQUIRED)

find_package(ZLIB QUIET)
if(NOT ZLIB_FOUND)
  rill_missing(zlib)
endif()

rill_find(SentencePiece sentencepiece sentencepiece_processor.h sentencepiece)
rill_find(PCRE2 pcre2 pcre2.h pcre2-8)
rill_find(utf8proc utf8proc utf8proc.h utf8proc)
if(RILL_SANDBOX)
  rill_find(libseccomp seccomp seccomp.h seccomp)
endif()
