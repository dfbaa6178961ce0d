# What the linker made of the flags in toolchains/RillFlags.cmake, read back from a binary:
# cmake -DREADELF=... -DBINARY=... -P hardening_test.cmake
cmake_minimum_required(VERSION 3.21)

execute_process(COMMAND ${READELF} --file-header --dynamic --program-headers --dyn-syms --wide ${BINARY}
                OUTPUT_VARIABLE found COMMAND_ERROR_IS_FATAL ANY)

function(expect what pattern)
  if(NOT found MATCHES "${pattern}")
    message(FATAL_ERROR "${BINARY}: ${what} is missing (expected ${pattern} in readelf's output)")
  endif()
  message(STATUS "${what}: yes")
endfunction()

expect("PIE: the program lies at a random address" "FLAGS_1[^\n]* PIE")
expect("RELRO: the linker's tables" "GNU_RELRO")
expect("are resolved at the start and read-only from then on" "FLAGS_1[^\n]*NOW")
expect("a stack that is not executable" "GNU_STACK +[x0-9a-f]+ +[x0-9a-f]+ +[x0-9a-f]+ +[x0-9a-f]+ +[x0-9a-f]+ +RW ")
expect("stack protector" "__stack_chk_fail")
expect("FORTIFY: library calls that check their bounds" "__(memcpy|printf|fprintf|snprintf|vsnprintf|read|recv)_chk")
if(found MATCHES "RWE|TEXTREL|RPATH|RUNPATH")
  message(FATAL_ERROR "${BINARY}: memory that can be written and run, or a path that libraries are looked for in")
endif()
