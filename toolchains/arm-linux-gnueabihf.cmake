# 32-bit ARM with hard float: ARMv7-A with NEON and VFPv4, whose scalar multiply-add the float part stands on. Cortex-A7,
# A15, A17 and every 64-bit core that runs 32-bit code have it; Cortex-A8 and A9 do not.
set(rill_target armv7)
set(rill_triple arm-linux-gnueabihf)
set(CMAKE_SYSTEM_PROCESSOR armv7l)
include(${CMAKE_CURRENT_LIST_DIR}/arm-target.cmake)
set(RILL_STATIC_PIE OFF)  # Debian's C library for armhf has no start code for it
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm -cpu cortex-a15)
foreach(language C CXX)
  # Files of more than 2 GiB have sizes too, and files have times after 2038 (a board whose clock was wrong once): without
  # the last two, they could not even be refused by name.
  set(CMAKE_${language}_FLAGS_INIT
      "-march=armv7-a -mfpu=neon-vfpv4 -mfloat-abi=hard -mthumb -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64")
endforeach()
