// rill chat: the assistant. On a terminal it edits lines; otherwise each line of standard input is a turn.

#include <unistd.h>
#include <CLI/CLI.hpp>

#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "apps/chat_output.h"
#include "apps/chat_terminal.h"
#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/line_reader.h"
#include "apps/model_options.h"
#include "apps/sandbox_option.h"
#include "apps/state_options.h"
#include "core/conversation.h"

namespace rill::apps {
namespace {

struct ChatArguments {
  ModelArguments model;
  std::optional<std::string> prompt;
  std::optional<std::string> system;
  std::uint64_t most_tokens = 512;
  StateArguments state;
  bool sandbox = false;
};

Status say_and_print(ChatSetting& setting, std::string_view user, ReplyPrinter& printer) {
  printer.begin();
  const Result<Reply> reply = setting.conversation->say(user, setting.most_tokens, [&](std::string_view text) {
    printer.add(text);
    return std::ferror(stdout) == 0 && !termination_pending();
  });
  // A reply's end says that the turn is on the disk, or goes on without a state.
  const Status kept = setting.state->settle();
  printer.end(kept.ok() ? reply : Result<Reply>(kept));
  RILL_TRY(kept);
  if (!reply.ok() && termination_pending()) return {};  // before the reply began: the turn was not taken
  if (std::ferror(stdout) != 0 && !termination_pending()) {
    return system_failure(text("standard output"), "writing the reply");
  }
  RILL_TRY(reply.status());
  print_notes(*reply, setting.engine->plan().options.policy);
  return {};
}

/// A turn that fails is said on standard error and the next line is read; the last failure's code is the program's.
Status chat_in_pipe(ChatSetting& setting, LineReader& reader, ReplyPrinter& printer) {
  std::uint64_t turns = 0;
  std::uint64_t failed_turns = 0;
  Status last;
  std::string_view line;
  for (LineReader::Outcome outcome = reader.next(line); outcome != LineReader::Outcome::kEnd;
       outcome = reader.next(line)) {
    Status status;
    if (outcome == LineReader::Outcome::kFailed) return system_failure(text("standard input"), "reading a turn");
    if (outcome == LineReader::Outcome::kTooLong) {
      ++turns;
      status = bad_input({.where = text("standard input"),
                          .what = text("a line longer than ", reader.longest(), " bytes"),
                          .expected = text("a turn a line"),
                          .remedy = text("it was left out")});
      printer.begin();
      printer.end(status);
    } else if (line.find_first_not_of(" \t") != std::string_view::npos) {
      ++turns;
      status = say_and_print(setting, line, printer);
    }
    if (std::ferror(stdout) != 0 || setting.state->must_stop()) return status;
    if (!status.ok()) {
      print_failure(status.message());
      last = status;
      ++failed_turns;
    }
    if (termination_pending()) break;
  }
  if (last.ok()) return {};
  return {last.code(), Report{.where = text("standard input"),
                              .what = text(failed_turns, " of ", turns, " turns failed, as is said above"),
                              .expected = {},
                              .remedy = {}}};
}

/// Begins the conversation, or goes on with the one that was kept.
Status begin_or_resume(const ChatArguments& arguments, ChatSetting& setting, SessionKeeper& keeper) {
  Conversation& conversation = *setting.conversation;
  RILL_ASSIGN(setting.restored, open_state(arguments.state, keeper, *setting.engine, "chat"));
  if (keeper.is_open()) conversation.keep_in(keeper, arguments.state.every);
  if (!setting.restored) return conversation.begin(setting.system);
  const std::string_view system = setting.system;
  // A prompt that is too long for the note can only be compared.
  const ConversationNote& note = *conversation.note();
  const bool takes_theirs = !arguments.system.has_value() && (note.system_bytes > 0 || note.has_system == 0);
  const Status status = conversation.resume(takes_theirs ? nullptr : &system);
  if (!status.ok()) {
    return bad_input(
        {.where = text(arguments.state.file), .what = text(status.message()), .expected = {}, .remedy = {}});
  }
  if (takes_theirs) setting.system = std::string(note.system, note.system_bytes);
  return {};
}

Status talk(const ChatArguments& arguments, ChatSetting& setting, SessionKeeper& keeper) {
  const bool json = arguments.model.json;
  const bool on_terminal =
      !arguments.prompt.has_value() && !json && ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  catch_termination();
  setting.conversation->set_stop([](void*) { return termination_pending(); });
  // So that the first reply does not allocate one, and ReplyPrinter alone says when something is written.
  static std::array<char, 1U << 16U> output;
  std::setvbuf(stdout, output.data(), _IOFBF, output.size());
  LineReader reader(STDIN_FILENO);
  if (const Status status = begin_or_resume(arguments, setting, keeper); !status.ok()) {
    return termination_pending() ? Status() : status;
  }
  if (on_terminal) return chat_on_terminal(setting, arguments.sandbox);
  RILL_TRY(setting.state->settle());
  ReplyPrinter printer(json);
  RILL_TRY(close_sandbox(arguments.sandbox, {}));
  if (json && arguments.state.is_asked_for()) print_restored(setting.restored, *setting.conversation);
  return arguments.prompt.has_value() ? say_and_print(setting, *arguments.prompt, printer)
                                      : chat_in_pipe(setting, reader, printer);
}

Status run_chat(const ChatArguments& arguments) {
  RILL_TRY(prepare_sandbox(arguments.sandbox, arguments.state.file));
  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model.model));
  if (model.chat_section().empty()) {
    return bad_usage({.where = text(model.name()),
                      .what = text("the model has no chat form"),
                      .expected = {},
                      .remedy = text("use `rill generate`, or import it with `rill quantize --chat-form NAME`")});
  }
  RILL_ASSIGN(const ChatSection chat, parse_chat_section(model.chat_section(), text(model.name())));
  ChatSetting setting;
  setting.system = arguments.system.value_or(std::string(chat.default_system));
  setting.most_tokens = arguments.most_tokens;
  StreamNeeds needs{.keeps_state = arguments.state.is_asked_for()};
  RILL_ASSIGN(needs.system_tokens, system_sinks(arguments.model, model, chat.form, setting.system));
  RILL_ASSIGN(const EngineOptions options, engine_options(arguments.model, model.config(), needs));
  RILL_ASSIGN(Engine engine, start_engine(model, options));
  engine.session(0).set_sampling(sampling_options(arguments.model, model.config()));
  RILL_ASSIGN(Conversation conversation, Conversation::open(engine, 0, chat.form));
  SessionKeeper keeper;  // goes before the engine does, and waits for its last save
  StateWatch watch(arguments.state, keeper);
  setting.engine = &engine;
  setting.conversation = &conversation;
  setting.state = &watch;
  return talk(arguments, setting, keeper);
}

}  // namespace

void add_chat(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<ChatArguments>();
  CLI::App& command = *app.add_subcommand("chat", "Talk with the assistant: on a terminal, from a pipe, or one answer");
  add_model_arguments(command, arguments->model);
  add_draft_argument(command, arguments->model);
  command.add_option("-p,--prompt", arguments->prompt, "One turn, then exit");
  command.add_option("--system", arguments->system, "The system prompt (default: the model's own); \"\" for none");
  command.add_option("-n", arguments->most_tokens, "Most tokens of a reply")->capture_default_str();
  add_sandbox_argument(command, arguments->sandbox);
  add_state_arguments(command, arguments->state,
                      "Save every N tokens of a reply as well (default: at each turn's end only)");
  command.footer(
      "On a terminal /help lists commands. From a pipe each line but empty ones is a turn; standard output holds\n"
      "replies only.\n"
      "With --state and --json the first object is {\"restored\": true or false, \"turns\": N}. SIGTERM ends the "
      "reply,\n"
      "saves and exits 0.\n"
      "Example: rill chat smollm2.rill --sinks system --window 508 -p \"What is the capital of France?\"\n"
      "         rill chat smollm2.rill --state talk.state --state-every 64");
  command.callback([arguments, &action] { action = [arguments] { return run_chat(*arguments); }; });
}

}  // namespace rill::apps
