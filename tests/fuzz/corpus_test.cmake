# Are the seeds that are made still those in the corpus? A format that has changed leaves seeds behind that are refused at
# the first look, and nothing else would say so.
#
#   cmake -D MAKE_CORPUS=... -D CORPUS=... -D MADE=FOLDER -P corpus_test.cmake

file(REMOVE_RECURSE ${MADE})
execute_process(COMMAND ${MAKE_CORPUS} ${MADE} COMMAND_ERROR_IS_FATAL ANY)
file(GLOB_RECURSE seeds RELATIVE ${MADE} ${MADE}/*)
list(LENGTH seeds count)
if(count LESS 10)
  message(FATAL_ERROR "${count} seeds were made")
endif()
foreach(seed IN LISTS seeds)
  file(SHA256 ${MADE}/${seed} made)
  set(kept none)
  if(EXISTS ${CORPUS}/${seed})
    file(SHA256 ${CORPUS}/${seed} kept)
  endif()
  if(NOT made STREQUAL kept)
    message(SEND_ERROR "${seed} is made otherwise today: make_corpus tests/fuzz/corpus makes it anew")
  endif()
endforeach()
