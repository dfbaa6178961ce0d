# The library for other projects: `cmake --install build/release --component library --prefix DIR` puts it, its headers and
# its CMake package into DIR, from where find_package(Rill) has the target Rill::core.
include_guard()
include(CMakePackageConfigHelpers)

foreach(name flags platform core)
  set_target_properties(rill_${name} PROPERTIES EXPORT_NAME ${name})
endforeach()
set(package lib/cmake/Rill)
install(TARGETS rill_flags rill_platform rill_core EXPORT RillTargets ARCHIVE DESTINATION lib COMPONENT library)
install(EXPORT RillTargets NAMESPACE Rill:: DESTINATION ${package} COMPONENT library)
install(DIRECTORY core platform DESTINATION include/rill COMPONENT library FILES_MATCHING PATTERN "*.h"
        PATTERN "allocation_watch*" EXCLUDE)
configure_file(toolchains/RillConfig.cmake.in generated/RillConfig.cmake @ONLY)
write_basic_package_version_file(generated/RillConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/generated/RillConfig.cmake ${PROJECT_BINARY_DIR}/generated/RillConfigVersion.cmake
              toolchains/RillCoreLibraries.cmake toolchains/packages.txt
        DESTINATION ${package} COMPONENT library)
install(FILES LICENSE DESTINATION share/doc/rill COMPONENT library)
