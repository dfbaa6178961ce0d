# Configures a project that has Rill in it, and compiles what it includes of Rill.
file(REMOVE_RECURSE ${BUILD})
execute_process(COMMAND ${CMAKE_COMMAND} -G Ninja -S ${SOURCE}/tests/embedding -B ${BUILD} -DRILL=${SOURCE}
                RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "configuring: ${said}")
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} --target headers RESULT_VARIABLE code OUTPUT_VARIABLE said
                ERROR_VARIABLE said)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "compiling: ${said}")
endif()
