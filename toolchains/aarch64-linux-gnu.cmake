# 64-bit ARM: ARMv8.0-A, which a Cortex-A53 is; what later cores can do besides is asked at run time.
set(rill_target aarch64)
set(rill_triple aarch64-linux-gnu)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
include(${CMAKE_CURRENT_LIST_DIR}/arm-target.cmake)
set(RILL_STATIC_PIE ON)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu max)
