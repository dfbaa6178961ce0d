// rill: one binary, one subcommand a file.

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "apps/command.h"
#include "apps/shown_text.h"
#include "platform/cut_off_files.h"

namespace {

/// Writes what is left. @returns false if anything was lost
bool is_output_written() {
  std::cout.flush();
  return std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && !std::cout.fail();
}

/// Says what failed, and so does output that was lost.
int exit_code(const rill::Status& status) {
  if (!status.ok()) {
    rill::apps::print_failure(status.message());
  } else if (!is_output_written()) {
    rill::apps::print_failure("standard output: not everything could be written; its reader is gone, or it is full");
    return static_cast<int>(rill::Code::kFailed);
  }
  return static_cast<int>(status.code());
}

/// Reads the command line. What describes the commands and their options goes when it is read: it is a third of a
/// megabyte, and the command that is named may run for years.
/// @param action  set to what the command line asks for
/// @returns the exit code, if there is nothing to run
std::optional<int> read_command_line(int argc, char** argv, rill::apps::Action& action) {
  CLI::App app{"Rill: a language model that lives in a fixed amount of RAM, for ever.", "rill"};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("rill ") + RILL_VERSION);
  app.footer(
      "Exit codes: 0 done, 1 failed while running, 2 wrong usage, 3 over budget, 4 bad input file.\n"
      "Example: rill chat smollm2.rill -p \"What is the capital of France?\"\n"
      "`rill COMMAND --help` says more.");
  rill::apps::add_all_commands(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return exit_code(rill::apps::explain(app, error));
    app.exit(error);  // help was asked for
    return exit_code({});
  }
  rill::Status status = rill::apps::check_values(app);
  if (status.ok()) status = rill::apps::check_paths(app);
  if (!status.ok()) return exit_code(status);
  return std::nullopt;
}

int run(int argc, char** argv) {
  rill::apps::Action action;
  const std::optional<int> code = read_command_line(argc, argv, action);
  return code.has_value() ? *code : exit_code(action());
}

/// Where standard input, output or error are closed, the next file that is opened takes their number, and is written
/// to. Where the program before us left output non-blocking, what its reader has not read yet would be lost.
void prepare_standard_files() {
  int file = ::open("/dev/null", O_RDWR);
  while (file >= 0 && file <= STDERR_FILENO) file = ::dup(file);
  if (file > STDERR_FILENO) ::close(file);
  for (const int output : {STDOUT_FILENO, STDERR_FILENO}) {
    const int flags = ::fcntl(output, F_GETFL);
    if (flags < 0 || (flags & O_NONBLOCK) == 0) continue;
    ::fcntl(output, F_SETFL, flags & ~O_NONBLOCK);
    static bool was_non_blocking[STDERR_FILENO + 1];  // whoever shares the file gets it back as it was
    was_non_blocking[output] = true;
    std::atexit([] {
      for (const int each : {STDOUT_FILENO, STDERR_FILENO}) {
        if (was_non_blocking[each]) ::fcntl(each, F_SETFL, ::fcntl(each, F_GETFL) | O_NONBLOCK);
      }
    });
  }
}

/// A stack that is too small would be a crash somewhere. 72 KiB are enough for every command that was tried.
bool has_stack() {
  constexpr rlim_t kLeast = 128 * 1024;
  rlimit limit{};
  if (::getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= kLeast) return true;
  const rill::Text sentence = rill::text("the stack may have ", limit.rlim_cur, " bytes, expected at least ", kLeast,
                                         "; raise its limit (ulimit -s)");
  rill::apps::print_failure(sentence.view());
  return false;
}

std::terminate_handler end_as_ever = nullptr;

/// Where not even an exception finds memory.
[[noreturn]] void end_without_memory() {
  if (std::current_exception() != nullptr && end_as_ever != nullptr) end_as_ever();
  constexpr std::string_view kSentence = "rill: out of memory; free some, or raise its limit (ulimit -v)\n";
  static_cast<void>(::write(STDERR_FILENO, kSentence.data(), kSentence.size()) > 0);
  ::_exit(static_cast<int>(rill::Code::kFailed));
}

void stand_by_for_no_memory() { end_as_ever = std::set_terminate(end_without_memory); }

// Before main() and before the libraries' own initialisers, which allocate too.
[[gnu::section(".preinit_array"), gnu::used]] void (*const kBeforeAllInitialisers)() = stand_by_for_no_memory;

}  // namespace

int main(int argc, char** argv) {
  prepare_standard_files();
  if (!has_stack()) return static_cast<int>(rill::Code::kFailed);
  std::signal(SIGPIPE, SIG_IGN);  // a reader that went away is an error of write(), with a sentence
  std::signal(SIGXFSZ, SIG_IGN);  // and so is a file that may grow no further (ulimit -f)
  rill::report_cut_off_files("rill");
  try {
    return run(argc, argv);
  } catch (const std::system_error& error) {  // of threads
    rill::apps::print_failure(error.what(), "; the system grants no more threads: raise the limit on them (ulimit -u)");
    return static_cast<int>(rill::Code::kFailed);
  } catch (const std::bad_alloc&) {
    rill::apps::print_failure("out of memory; free some, or raise its limit (ulimit -v)");
    return static_cast<int>(rill::Code::kFailed);
  } catch (const std::exception& error) {  // programs may allocate before the start, and so fail to
    rill::apps::print_failure(error.what());
    return static_cast<int>(rill::Code::kFailed);
  }
}
