# Every library that Rill uses. One that is not found is reported with the package that brings it, so that packages are
# named in packages.txt alone.
include_guard()

# Linux only; elsewhere, and where it is switched off, `--sandbox` says that it is not there.
include(CMakeDependentOption)
cmake_dependent_option(RILL_SANDBOX "Build `--sandbox` (needs libseccomp)" ON "CMAKE_SYSTEM_NAME STREQUAL Linux" OFF)
include(RillCoreLibraries)

if(NOT RILL_BUILD_PROGRAMS)
  return()
endif()

rill_find(libedit libedit editline/readline.h edit)
if(RILL_STATIC)  # a shared library names what it needs itself
  foreach(needed tinfo bsd md)
    find_library(RILL_${needed}_LIBRARY ${needed} REQUIRED)
    mark_as_advanced(RILL_${needed}_LIBRARY)
    target_link_libraries(Rill::libedit INTERFACE ${RILL_${needed}_LIBRARY})
  endforeach()
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

# The voice's libraries. One that is missing takes its part of `rill voice` away and nothing else.
#
# rill_find_optional(LIBRARY NAME HEADER NAMES LIBRARY_FILE... [SUFFIXES DIRECTORY...]): makes the interface target
# rill_NAME, with RILL_HAS_NAME defined if header and libraries are there; says which package brings them if not. A cross
# build goes without: its static program links no audio server.
function(rill_find_optional library target header)
  cmake_parse_arguments(PARSE_ARGV 3 optional "" "" "NAMES;SUFFIXES")
  find_path(RILL_${target}_INCLUDE ${header} PATH_SUFFIXES ${optional_SUFFIXES})
  mark_as_advanced(RILL_${target}_INCLUDE)
  set(found ${RILL_${target}_INCLUDE})
  foreach(name IN LISTS optional_NAMES)
    find_library(RILL_${target}_${name} ${name})
    mark_as_advanced(RILL_${target}_${name})
    list(APPEND libraries ${RILL_${target}_${name}})
    if(NOT RILL_${target}_${name})
      set(found FALSE)
    endif()
  endforeach()
  add_library(rill_${target} INTERFACE)
  if(NOT found)
    file(STRINGS ${PROJECT_SOURCE_DIR}/toolchains/packages.txt line REGEX " ${library}:")
    string(REGEX REPLACE "^[a-z]+ +([^ ]+) .*" "\\1" package "${line}")
    if(NOT CMAKE_CROSSCOMPILING)
      message(WARNING "${library} was not found: `rill voice` is built without it. On Debian, ${package} brings it.")
    endif()
    return()
  endif()
  target_link_libraries(rill_${target} INTERFACE ${libraries})
  target_include_directories(rill_${target} SYSTEM INTERFACE ${RILL_${target}_INCLUDE})
  target_compile_definitions(rill_${target} INTERFACE RILL_HAS_${target})
endfunction()

rill_find_optional(ALSA ALSA alsa/asoundlib.h NAMES asound)
rill_find_optional("WebRTC audio processing" WEBRTC webrtc/modules/audio_processing/include/audio_processing.h
                   NAMES webrtc_audio_processing SUFFIXES webrtc_audio_processing)
target_compile_definitions(rill_WEBRTC INTERFACE WEBRTC_POSIX WEBRTC_AUDIO_PROCESSING_ONLY_BUILD)
rill_find_optional(Flite FLITE flite/flite.h NAMES flite_cmu_us_slt flite_usenglish flite_cmulex flite)
rill_find_optional(PocketSphinx POCKETSPHINX pocketsphinx.h NAMES pocketsphinx sphinxbase SUFFIXES pocketsphinx)
find_path(RILL_SPHINXBASE_INCLUDE sphinxbase/err.h)
find_path(RILL_SPHINXBASE_CONFIG sphinx_config.h PATH_SUFFIXES sphinxbase)
find_path(RILL_POCKETSPHINX_MODELS en-us/en-us.lm.bin PATHS /usr/share/pocketsphinx/model /usr/local/share/pocketsphinx/model)
mark_as_advanced(RILL_SPHINXBASE_INCLUDE RILL_SPHINXBASE_CONFIG RILL_POCKETSPHINX_MODELS)
if(RILL_POCKETSPHINX_INCLUDE AND RILL_SPHINXBASE_INCLUDE)
  target_include_directories(rill_POCKETSPHINX SYSTEM INTERFACE ${RILL_SPHINXBASE_INCLUDE} ${RILL_SPHINXBASE_INCLUDE}/sphinxbase
                                                                ${RILL_SPHINXBASE_CONFIG})
  target_compile_definitions(rill_POCKETSPHINX INTERFACE RILL_POCKETSPHINX_MODELS="${RILL_POCKETSPHINX_MODELS}")
endif()
set(RILL_AUDIO_LIBRARIES rill_ALSA rill_WEBRTC)
set(RILL_SPEECH_LIBRARIES rill_POCKETSPHINX rill_FLITE)
