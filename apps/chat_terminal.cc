#include "apps/chat_terminal.h"

#include <editline/readline.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <memory>
#include <optional>
#include <string_view>

#include "apps/chat_output.h"
#include "apps/interrupt.h"
#include "apps/plan_report.h"
#include "apps/sandbox_option.h"
#include "platform/process_memory.h"

namespace rill::apps {
namespace {

constexpr const char* kHelp =
    "  /help            this list\n"
    "  /reset           begin the conversation anew, with the same system prompt\n"
    "  /system TEXT     begin anew with another system prompt; without TEXT: show it\n"
    "  /stats           tokens, window and memory\n"
    "  /quit            end (so does Ctrl-D); Ctrl-C stops a reply\n";

void print_header(const ChatSetting& setting) {
  const EnginePlan& plan = setting.engine->plan();
  const CachePolicy& policy = plan.options.policy;
  std::fprintf(stderr, "%.*s: %s of RAM granted, %.*s policy, %u sinks + window of %u tokens, %u thread%s, %.*s\n",
               static_cast<int>(setting.engine->model().name().size()), setting.engine->model().name().data(),
               human_bytes(plan.memory.total_bytes()).c_str(), static_cast<int>(policy.name.size()), policy.name.data(),
               policy.sinks, policy.window, plan.options.threads, plan.options.threads == 1 ? "" : "s",
               static_cast<int>(plan.options.kernels->name.size()), plan.options.kernels->name.data());
  std::fprintf(stderr, "/help lists commands, Ctrl-C stops a reply, Ctrl-D ends.\n");
}

void print_stats(const ChatSetting& setting) {
  const Session& session = setting.engine->session(0);
  std::fprintf(stderr, "  %llu tokens since the conversation began, %zu of them in sight; RAM: plan %s, resident %s\n",
               static_cast<unsigned long long>(session.position()), session.cached(),
               human_bytes(setting.engine->plan().memory.total_bytes()).c_str(), human_bytes(resident_bytes()).c_str());
}

/// @returns false to end
Result<bool> run_command(std::string_view line, ChatSetting& setting) {
  const std::size_t space = line.find(' ');
  const std::string_view command = line.substr(0, space);
  const std::string_view rest = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
  if (command == "/quit" || command == "/exit") return false;
  if (command == "/help") {
    std::fputs(kHelp, stderr);
  } else if (command == "/stats") {
    print_stats(setting);
  } else if (command == "/system" && rest.empty()) {
    std::fputs("  ", stderr);
    ShownText(stderr).write(setting.system.empty() ? "(no system prompt)" : setting.system);  // perhaps the model's own
    std::fputc('\n', stderr);
  } else if (command == "/reset" || command == "/system") {
    const std::string wanted(command == "/system" ? rest : std::string_view(setting.system));
    if (const Status begun = setting.conversation->begin(wanted); !begun.ok()) {
      if (termination_pending()) return false;
      print_failure(begun.message());
      RILL_TRY(setting.conversation->begin(setting.system));
    } else {
      setting.system = wanted;
    }
    const Session& session = setting.engine->session(0);
    std::fprintf(stderr, "  a new conversation\n");
    if (setting.engine->plan().options.policy.sinks > 4 && session.position() > session.policy().sinks) {
      std::fprintf(stderr, "  of the new system prompt's %llu tokens the first %u are pinned\n",
                   static_cast<unsigned long long>(session.position()), session.policy().sinks);
    }
  } else {
    std::fprintf(stderr, "  no such command: %.*s\n%s", static_cast<int>(command.size()), command.data(), kHelp);
  }
  return true;
}

/// Waits for the next byte, and puts the line back where it was after the terminal has changed. @returns false for the
/// end, and for a signal that ends the line
bool read_byte(char& byte) {
  while (!wait_for_input(STDIN_FILENO)) {
    const TerminalChange change = take_terminal_change();
    if (stop_pending()) return false;
    if (change.has_resumed) {
      rl_deprep_terminal();  // or libedit would think that nothing has changed
      rl_prep_terminal(1);
    }
    if (change.has_resized) rl_resize_terminal();
    rl_forced_update_display();
  }
  return ::read(STDIN_FILENO, &byte, 1) == 1;
}

/// A character for libedit, which would read on after a signal. Bytes that are none of the locale's are question marks.
int read_key(std::FILE*) {
  constexpr auto kInvalid = static_cast<std::size_t>(-1);
  constexpr auto kUnfinished = static_cast<std::size_t>(-2);
  static std::optional<char> held;  // what stood where a character should have gone on
  std::mbstate_t state{};
  bool is_first = true;
  for (;;) {
    char byte = held.value_or('\0');
    if (!held.has_value() && !read_byte(byte)) return EOF;
    held.reset();
    wchar_t character = 0;
    const std::size_t bytes = std::mbrtowc(&character, &byte, 1, &state);
    if (bytes == kInvalid) {
      if (!is_first) held = byte;
      return '?';
    }
    if (bytes != kUnfinished) return static_cast<int>(character);
    is_first = false;
  }
}

/// Signals are ours: libedit's handlers send them on to every process of the group. A tab is a tab: completing file
/// names would look into folders.
void prepare_line_editing() {
  rl_catch_signals = 0;
  rl_getc_function = read_key;
  rl_initialize();
  rl_bind_key('\t', rl_insert);
  using_history();
  stifle_history(200);
}

}  // namespace

Status chat_on_terminal(ChatSetting& setting, bool sandbox) {
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");  // a board that names no language
  print_header(setting);
  if (const std::uint64_t turns = setting.conversation->turns(); setting.restored && turns > 0) {
    print_recent_text(*setting.conversation->note());
    std::fprintf(stderr, "The conversation goes on after %llu turn%s; /reset begins anew.\n",
                 static_cast<unsigned long long>(turns), turns == 1 ? "" : "s");
  }
  catch_interrupts();
  catch_terminal_changes();
  prepare_line_editing();
  ReplyPrinter printer(/*json=*/false);
  RILL_TRY(close_sandbox(sandbox, {.memory = true, .terminal = true}));
  for (;;) {
    rl_prep_terminal(1);  // libedit would show its prompt first, and lose a Ctrl-D that answers it at once
    const std::unique_ptr<char, void (*)(void*)> line(readline("> "), std::free);
    if (line == nullptr) {
      std::fputc('\n', stderr);
      if (stop_pending()) std::clearerr(stdout);  // a line that was not drawn to its end
      if (take_interrupt() && !termination_pending()) continue;
      return setting.state->settle();
    }
    take_interrupt();
    const std::string_view said(line.get());
    if (said.find_first_not_of(" \t") == std::string_view::npos) continue;
    add_history(line.get());
    if (said.front() == '/') {
      RILL_ASSIGN(const bool goes_on, run_command(said, setting));
      if (!goes_on) return setting.state->settle();
      continue;
    }
    printer.begin();
    const Result<Reply> reply = setting.conversation->say(said, setting.most_tokens, [&](std::string_view text) {
      printer.add(text);
      return !stop_pending();
    });
    printer.end(reply);
    take_interrupt();  // it ended the reply
    if (termination_pending()) return setting.state->settle();
    RILL_TRY(setting.state->look());  // what is on its way to the disk gets there while the next line is typed
    if (reply.ok()) {
      print_notes(*reply, setting.engine->plan().options.policy);
    } else {
      print_failure(reply.status().message());
    }
  }
}

}  // namespace rill::apps
