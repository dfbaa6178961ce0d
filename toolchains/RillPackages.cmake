# A Debian package and an archive with the program, its licence, README and the service: for a board `rill` alone, for the
# desk what hears and speaks for it as well.
include_guard()

install(TARGETS rill RUNTIME DESTINATION bin COMPONENT program)
if(NOT CMAKE_CROSSCOMPILING)  # a cross build has no recogniser and no voice: RillLibraries.cmake
  install(TARGETS rill-speech RUNTIME DESTINATION bin COMPONENT program)
endif()
install(FILES LICENSE README.md toolchains/rill.service toolchains/rill.socket DESTINATION share/doc/rill
        COMPONENT program)

set(CPACK_GENERATOR DEB TGZ)
set(CPACK_INSTALL_CMAKE_PROJECTS ${PROJECT_BINARY_DIR} rill program /)  # not the library
set(CPACK_PACKAGE_NAME rill)
set(CPACK_PACKAGE_CONTACT "the Rill maintainers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "language models in a fixed amount of RAM, for ever")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_FILE_NAME rill-${PROJECT_VERSION}-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
find_program(RILL_SHLIBDEPS dpkg-shlibdeps)
find_program(RILL_FILE file)  # CPack asks it what is a program
mark_as_advanced(RILL_SHLIBDEPS RILL_FILE)
if(RILL_SHLIBDEPS AND RILL_FILE AND NOT RILL_STATIC)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # the package says which libraries the programs are linked with
endif()
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^armv7")
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE armhf)
endif()
include(CPack)
