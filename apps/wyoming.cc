// rill wyoming: the model behind the Wyoming protocol, in the place where a voice assistant expects what answers.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/model_options.h"
#include "apps/sandbox_option.h"
#include "apps/shown_text.h"
#include "apps/wyoming/conversations.h"
#include "apps/wyoming/server.h"
#include "core/conversation.h"

namespace rill::apps {
namespace {

/// Of what is said: a few minutes of speech. More would only keep the other clients waiting.
constexpr std::size_t kMostTurnBytes = std::size_t{8} * 1024;

struct WyomingArguments {
  ModelArguments model;
  std::optional<std::string> system;
  std::uint64_t most_tokens = 512;
  std::string host = "127.0.0.1";
  std::uint16_t port = 10500;
  std::uint32_t sessions = 2;
  std::vector<std::string> languages = {"en"};
  bool sandbox = false;
};

/// What `describe` is answered with: one program, which streams its replies and switches no lamps.
nlohmann::json info_of(const WyomingArguments& arguments) {
  const nlohmann::json attribution = {{"name", "Rill"}, {"url", ""}};
  const nlohmann::json model = {{"name", std::filesystem::path(arguments.model.model).stem().string()},
                                {"description", "A conversation that never ends, in a fixed amount of RAM"},
                                {"attribution", attribution},
                                {"installed", true},
                                {"version", nullptr},
                                {"languages", arguments.languages}};
  const nlohmann::json program = {{"name", "rill"},
                                  {"description", "A language model on this machine"},
                                  {"attribution", attribution},
                                  {"installed", true},
                                  {"version", RILL_VERSION},
                                  {"models", nlohmann::json::array({model})},
                                  {"supports_handled_streaming", true},
                                  {"supports_home_control", false}};
  nlohmann::json info = {{"handle", nlohmann::json::array({program})}};
  for (const char* other : {"asr", "tts", "intent", "wake", "mic", "snd"}) info[other] = nlohmann::json::array();
  return info;
}

/// The conversations of one engine and the server that their turns come from.
class Assistant {
 public:
  Assistant(Engine& engine, WyomingServer& server, std::string system, std::uint64_t most_tokens)
      : server_(&server),
        system_(std::move(system)),
        most_tokens_(most_tokens),
        places_(engine.plan().options.sessions) {}

  Status open(Engine& engine, const ChatForm& form, const SamplingOptions& sampling) {
    for (std::size_t i = 0; i < engine.plan().options.sessions; ++i) {
      engine.session(i).set_sampling(sampling);
      RILL_ASSIGN(Conversation conversation, Conversation::open(engine, i, form));
      conversation.set_stop([](void* self) { return static_cast<Assistant*>(self)->is_turn_over(); }, this);
      conversations_.push_back(conversation);
    }
    return {};
  }

  void answer(const WyomingTurn& turn) {
    const std::size_t client = turn.connection;
    answered_ = client;
    if (turn.text.find_first_not_of(" \t\r\n") == std::string::npos) {
      server_->send(client, "not-handled", reply_data("I heard nothing.", turn));
      return;
    }
    if (turn.text.size() > kMostTurnBytes) {
      server_->send(client, "not-handled", reply_data("That was too long for me.", turn));
      return;
    }
    std::string whole;
    whole.reserve(WyomingServer::kMostReply);
    // Before the work: a client that has closed is found by what it answers to this, one that waits is not.
    server_->send(client, "handled-start", with_context(turn));
    const auto listen = [&](std::string_view text) {
      if (whole.size() + text.size() > WyomingServer::kMostReply) return false;  // no client takes a longer event
      whole += text;
      server_->send(client, "handled-chunk", {{"text", text}});
      server_->serve(/*wait_ms=*/0);
      return server_->is_open(client) && !termination_pending();
    };
    const Status status = say(turn, listen);
    if (!status.ok() && !termination_pending()) {
      print_failure(server_->is_open(client) ? status.message() : "a client left before it was answered");
    }
    server_->send(client, status.ok() ? "handled" : "not-handled",
                  reply_data(status.ok() ? whole : std::string(status.message()), turn));
    server_->send(client, "handled-stop", nlohmann::json::object());
  }

 private:
  /// Asked between the chunks of a turn; serves the others meanwhile.
  bool is_turn_over() {
    server_->serve(/*wait_ms=*/0);
    return termination_pending() || !server_->is_open(answered_);
  }

  static nlohmann::json with_context(const WyomingTurn& turn) {
    return turn.context.is_null() ? nlohmann::json::object() : nlohmann::json{{"context", turn.context}};
  }
  static nlohmann::json reply_data(const std::string& text, const WyomingTurn& turn) {
    nlohmann::json data = with_context(turn);
    data["text"] = text;
    return data;
  }

  /// A conversation's key: its id, or the connection where the client gives none.
  std::string key_of(const WyomingTurn& turn) const {
    const std::string id = turn.conversation();
    return id.empty() ? key_of_connection(turn.connection) : "id " + id;
  }
  std::string key_of_connection(std::size_t connection) const {
    return "connection " + std::to_string(connection) + " " + std::to_string(server_->generation(connection));
  }

  Status say(const WyomingTurn& turn, Conversation::Listener listener) {
    // Conversations that hang on an open connection stay; those with an id may have to make room. This turn's own
    // connection needs one place only, so that there always is one.
    const ConversationPlaces::Lent lent = places_.find(key_of(turn), [&](std::string_view key) {
      for (std::size_t i = 0; i < conversations_.size(); ++i) {
        if (i != turn.connection && server_->is_open(i) && key == key_of_connection(i)) return true;
      }
      return false;
    });
    Conversation& conversation = conversations_[lent.place];
    if (lent.is_new) {
      const Status begun = conversation.begin(system_);
      if (!begun.ok()) places_.forget(lent.place);
      RILL_TRY(begun);
    }
    const Status said = conversation.say(turn.text, most_tokens_, listener).status();
    if (conversation.is_torn()) places_.forget(lent.place);
    return said;
  }

  WyomingServer* server_;
  std::string system_;
  std::uint64_t most_tokens_;
  ConversationPlaces places_;
  std::vector<Conversation> conversations_;
  std::size_t answered_ = 0;  // the client of the turn at hand
};

void print_listening(const std::string& address, bool json) {
  if (json) {
    std::printf("%s\n", nlohmann::json{{"listening", address}}.dump().c_str());
  } else {
    std::printf("Listening on %s for Wyoming clients; SIGTERM ends it.\n", address.c_str());
  }
  std::fflush(stdout);
}

Status run_wyoming(const WyomingArguments& arguments) {
  // Before anything of a stranger's is read: whoever is in the sandbox binds no port.
  RILL_ASSIGN(WyomingServer server, WyomingServer::listen({.host = arguments.host,
                                                           .port = arguments.port,
                                                           .connections = arguments.sessions,
                                                           .info = info_of(arguments)}));
  RILL_TRY(prepare_sandbox(arguments.sandbox, {}));
  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model.model));
  if (model.chat_section().empty()) {
    return bad_usage({.where = text(model.name()),
                      .what = text("the model has no chat form"),
                      .expected = {},
                      .remedy = text("import it with `rill quantize --chat-form NAME`")});
  }
  RILL_ASSIGN(const ChatSection chat, parse_chat_section(model.chat_section(), text(model.name())));
  const std::string system = arguments.system.value_or(std::string(chat.default_system));
  StreamNeeds needs;
  RILL_ASSIGN(needs.system_tokens, system_sinks(arguments.model, model, chat.form, system));
  RILL_ASSIGN(EngineOptions options, engine_options(arguments.model, model.config(), needs));
  options.sessions = arguments.sessions;
  RILL_ASSIGN(Engine engine, start_engine(model, options, WyomingServer::items(arguments.sessions)));
  catch_termination();
  Assistant assistant(engine, server, system, arguments.most_tokens);
  RILL_TRY(assistant.open(engine, chat.form, sampling_options(arguments.model, model.config())));
  RILL_TRY(close_sandbox(arguments.sandbox, {.memory = true, .clients = true}));
  print_listening(server.address(), arguments.model.json);
  while (!termination_pending()) {
    const std::optional<WyomingTurn> turn = server.next_turn();
    if (!turn.has_value()) {
      server.serve(/*wait_ms=*/-1);
      continue;
    }
    assistant.answer(*turn);
    server.finish(turn->connection);
  }
  return {};
}

}  // namespace

void add_wyoming(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<WyomingArguments>();
  CLI::App& command = *app.add_subcommand("wyoming", "Serve the model to voice assistants over the Wyoming protocol");
  add_model_arguments(command, arguments->model);
  command.add_option("--host", arguments->host, "Address to listen on; 0.0.0.0 for every network (no passwords there)")
      ->capture_default_str();
  command.add_option("--port", arguments->port, "Port; 0 lets the system choose")->capture_default_str();
  command
      .add_option("--sessions", arguments->sessions,
                  "Conversations, and connections at a time, all of them in the plan; one more is refused")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  command.add_option("--language", arguments->languages, "Languages that the model answers in, for clients that ask")
      ->capture_default_str();
  command.add_option("--system", arguments->system, "The system prompt (default: the model's own); \"\" for none");
  command.add_option("-n", arguments->most_tokens, "Most tokens of a reply")->capture_default_str();
  add_sandbox_argument(command, arguments->sandbox);
  command.footer(
      "A `transcript` is answered with handled-start, handled-chunk ..., handled, handled-stop; one that fails with\n"
      "not-handled in the place of handled, one that is empty or too long with not-handled alone. Its conversation is "
      "the\n"
      "one that its context names (conversation_id), else its connection's. When all sessions are taken, the id that "
      "was\n"
      "not used for longest is forgotten. SIGTERM ends the server and exits 0.\n"
      "Example: rill wyoming smollm2.rill --host 0.0.0.0 --sessions 4 --window 508\n"
      "         In Home Assistant: Settings, Devices & services, Wyoming Protocol, this host, port 10500");
  command.callback([arguments, &action] { action = [arguments] { return run_wyoming(*arguments); }; });
}

}  // namespace rill::apps
