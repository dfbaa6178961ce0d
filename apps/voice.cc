// rill voice: speak, be answered, interrupt.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/model_options.h"
#include "apps/plan_report.h"
#include "apps/voice/loop.h"
#include "apps/voice/memory.h"
#include "apps/voice/printer.h"
#include "apps/voice/speech_text.h"
#include "core/conversation.h"

namespace rill::apps {
namespace {

struct VoiceArguments {
  ModelArguments model;
  std::string system = kVoiceSystem;
  std::uint64_t most_tokens = 120;
  std::string in = "alsa:default";
  std::string out = "alsa:default";
  std::string activity = default_voice_activity();
  VoicePartArguments parts;
  bool is_paced = false;
  bool is_push_to_talk = false;
  bool guesses_nothing = false;
  LoopSetting loop;
};

/// The conversation with the model, as the loop sees it.
class ModelAnswerer final : public Answerer {
 public:
  ModelAnswerer(Engine& engine, Conversation& conversation, std::uint64_t most_tokens)
      : engine_(&engine), conversation_(&conversation), most_tokens_(most_tokens) {}

  Status answer(std::string_view user, Listener listener) override {
    RILL_TRY(conversation_->mark(engine_->state_snapshot().first(engine_->session(0).state_bytes())));
    return conversation_->say(user, most_tokens_, listener).status();
  }
  Status retell(std::string_view user, std::string_view said) override { return conversation_->retell(user, said); }

 private:
  Engine* engine_;
  Conversation* conversation_;
  std::uint64_t most_tokens_;
};

void print_items(std::FILE* out, const Engine& engine, const VoiceMemory& memory) {
  nlohmann::json items = {{{"name", "model"}, {"bytes", engine.plan().memory.total_bytes()}}};
  for (const ItemBeside& item : memory.items()) items.push_back({{"name", item.name}, {"bytes", item.bytes}});
  const nlohmann::json line = {{"t", 0.0}, {"state", "listening"}, {"items", items}};
  std::fprintf(out, "%s\n", line.dump().c_str());
  std::fflush(out);
}

/// As print_items, for people.
void print_grant(const Engine& engine, const VoiceMemory& memory) {
  std::fprintf(stderr, "RAM granted: model %s", human_bytes(engine.plan().memory.total_bytes()).c_str());
  for (const ItemBeside& item : memory.items()) {
    std::fprintf(stderr, "; %.*s %s", static_cast<int>(item.name.size()), item.name.data(),
                 human_bytes(item.bytes).c_str());
  }
  std::fputs(". Ctrl-C ends.\n", stderr);
}

/// What hears and speaks, each behind its interface.
struct VoiceParts {
  VoiceParts(const VoicePartChoice& choice, const std::string& wake)
      : recognizer_part(choice.recognizer, choice.memory.recognizer, /*most_payload=*/0),
        speaker_part(choice.speaker, choice.memory.speaker, Part::kMostPayload) {
    if (!choice.wake_word.has_value()) return;
    wake_part.emplace(*choice.wake_word, choice.memory.wake_word, /*most_payload=*/0);
    wake_word.emplace(*wake_part, wake);
  }
  /// Reads a frame of nothing through everything that is slow the first time.
  Status warm_up() {
    const std::vector<Sample> silence(kFrameSamples * 30);
    RILL_TRY(recognizer.begin());
    RILL_TRY(recognizer.hear(silence));
    RILL_TRY(recognizer.end().status());
    RILL_TRY(speaker.say("Hello.", [](std::span<const Sample>) { return true; }));
    return wake_word.has_value() ? wake_word->check() : Status();
  }

  Part recognizer_part;
  Part speaker_part;
  std::optional<Part> wake_part;
  PartRecognizer recognizer{recognizer_part};
  PartSpeaker speaker{speaker_part};
  std::optional<PartWakeWord> wake_word;
};

LoopSetting loop_setting(const VoiceArguments& arguments, const AudioSource& source, const AudioSink& sink) {
  LoopSetting setting = arguments.loop;
  const bool has_wake_word = arguments.parts.wake_part != kTranscript;
  if (!has_wake_word) setting.wake = arguments.parts.wake;
  // A key is pressed in the world's time, and a detector says nothing before it has heard its word.
  const bool needs_time = arguments.is_push_to_talk || has_wake_word;
  setting.is_clocked = arguments.is_paced || (!source.is_live() && (needs_time || sink.is_live()));
  setting.is_lockstep = !setting.is_clocked && !source.is_live() && !sink.is_live();
  setting.keeps_time = !setting.is_lockstep;
  // What a service hears again after a wrong guess could keep it busy for longer than the guess would have won.
  setting.guesses =
      !arguments.guesses_nothing && !setting.is_lockstep && !arguments.parts.recognizer.starts_with("wyoming:");
  return setting;
}

/// Rewrites the meter's line ten times a second, where there is one.
class MeterThread {
 public:
  MeterThread(VoicePrinter& printer, VoiceLoop& loop) {
    if (!printer.has_meter()) return;
    thread_ = std::jthread([&printer, &loop](const std::stop_token& stop) {
      for (; !stop.stop_requested(); std::this_thread::sleep_for(std::chrono::milliseconds(100))) {
        const VoiceLoop::Meter meter = loop.meter();
        printer.show_meter(meter.state, meter.peak);
      }
    });
  }

 private:
  std::jthread thread_;
};

Status run_voice(const VoiceArguments& arguments) {
  if (!arguments.parts.wake.empty() && !has_words(arguments.parts.wake)) {
    return bad_usage({.where = text("--wake"),
                      .what = text(arguments.parts.wake),
                      .expected = text("a phrase with letters"),
                      .remedy = {}});
  }
  RILL_ASSIGN(const VoicePartChoice choice, choose_voice_parts(arguments.parts));
  const VoiceMemory& memory = choice.memory;
  VoiceParts parts(choice, arguments.parts.wake);
  if (arguments.is_push_to_talk) RILL_TRY(check_talk_key());
  RILL_ASSIGN(const std::unique_ptr<AudioSource> source, open_source(arguments.in));
  const bool has_room = arguments.in.starts_with("alsa:") && arguments.out.starts_with("alsa:");
  RILL_ASSIGN(const std::unique_ptr<VoiceActivity> activity, make_voice_activity(arguments.activity, has_room));

  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model.model));
  if (model.chat_section().empty()) {
    return bad_usage({.where = text(model.name()),
                      .what = text("the model has no chat form"),
                      .expected = {},
                      .remedy = text("import it with `rill quantize --chat-form NAME`")});
  }
  RILL_ASSIGN(const ChatSection chat, parse_chat_section(model.chat_section(), text(model.name())));
  // Room for a copy of the session: an interrupted reply goes back to the question and takes what was said aloud.
  StreamNeeds needs{.keeps_state = true};
  RILL_ASSIGN(needs.system_tokens, system_sinks(arguments.model, model, chat.form, arguments.system));
  RILL_ASSIGN(const EngineOptions options, engine_options(arguments.model, model.config(), needs));
  RILL_ASSIGN(Engine engine, start_engine(model, options, memory.items()));
  engine.session(0).set_sampling(sampling_options(arguments.model, model.config()));
  RILL_ASSIGN(Conversation conversation, Conversation::open(engine, 0, chat.form));

  RILL_TRY(parts.warm_up());
  conversation.set_stop([](void*) { return stop_pending(); });
  RILL_TRY(conversation.begin(arguments.system));
  ModelAnswerer answerer(engine, conversation, arguments.most_tokens);

  catch_termination();
  catch_interrupts();
  std::unique_ptr<TalkKey> key;  // from here on a signal ends in its destructor, and the terminal is as it was
  if (arguments.is_push_to_talk) {
    RILL_ASSIGN(key, open_talk_key());
  }
  RILL_ASSIGN(const std::unique_ptr<AudioSink> sink, open_sink(arguments.out));
  // Standard output is the audio's where it was asked for.
  std::FILE* const out = arguments.out == "-" ? stderr : stdout;
  if (arguments.model.json) print_items(out, engine, memory);
  VoicePrinter printer(out, arguments.model.json);
  if (printer.has_meter()) print_grant(engine, memory);
  VoiceLoop loop(loop_setting(arguments, *source, *sink),
                 {.source = source.get(),
                  .sink = sink.get(),
                  .activity = activity.get(),
                  .recognizer = &parts.recognizer,
                  .speaker = &parts.speaker,
                  .answerer = &answerer,
                  .key = key.get(),
                  .wake_word = parts.wake_word.has_value() ? &*parts.wake_word : nullptr},
                 [&printer](const VoiceReport& told) { printer.print(told); });
  const MeterThread meter(printer, loop);
  return loop.run(stop_pending);
}

void add_audio_arguments(CLI::App& command, VoiceArguments& a) {
  command.add_option("--in", a.in, "A WAV file, - for raw 16 kHz mono s16le on standard input, or alsa:DEVICE")
      ->capture_default_str();
  command.add_option("--out", a.out, "The same for the answers; with -, reports go to standard error")
      ->capture_default_str();
  command.add_flag(
      "--paced", a.is_paced,
      "Play a file at the pace of the world, and write silence where nothing is said (default: as fast as\n"
      "it can be answered, and only what is said is written); for ALSA's plugins that have no clock as well");
  command.add_option("--vad", a.activity, "What tells voice from noise: webrtc, or level, which needs no library")
      ->capture_default_str();
  command.add_option("--pause", a.loop.pause_seconds, "Seconds of silence that end a question")
      ->capture_default_str()
      ->check(CLI::Range(0.2, 5.0));
  command.add_flag(
      "--no-guess", a.guesses_nothing,
      "Do nothing for an answer before the pause is over: less work, later answers (default: half-way through "
      "the\npause the question is taken for over, except with a service as the recogniser)");
  command.add_flag("--push-to-talk", a.is_push_to_talk,
                   "The space bar begins a question and ends it, not the voice: no noise is taken for one. Needs a "
                   "terminal");
  command.add_option("--idle", a.loop.idle_seconds, "End after so many seconds in which nobody spoke (default: never)")
      ->check(at_least(0));
}

}  // namespace

void add_voice(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<VoiceArguments>();
  CLI::App& command = *app.add_subcommand("voice", "Talk with the assistant: speak, be answered, interrupt");
  add_model_arguments(command, arguments->model);
  add_audio_arguments(command, *arguments);
  add_voice_part_arguments(command, arguments->parts);
  for (const char* const word : {"--wake", "--wake-part"}) {  // who presses a key need not be called by name
    command.get_option("--push-to-talk")->excludes(command.get_option(word));
  }
  command.add_option("--system", arguments->system, "The system prompt (default: asks for one or two sentences)");
  command.add_option("-n", arguments->most_tokens, "Most tokens of a reply")->capture_default_str();
  command.footer(
      "Speech during an answer stops it, and the conversation keeps of it what was said aloud. With --json each "
      "change\n"
      "of state is an object; `heard`, and `reply`, `spoken` and `latency` come with the turn. Ctrl-C or SIGTERM "
      "ends.\n"
      "Example: rill voice smollm2.rill --in question.wav --out answer.wav\n"
      "         rill voice smollm2.rill --wake \"hey computer\" --wake-part pocketsphinx-wake\n"
      "         rill voice smollm2.rill --recognizer wyoming:127.0.0.1:10300 --wake-part wyoming:127.0.0.1:10400");
  command.callback([arguments, &action] { action = [arguments] { return run_voice(*arguments); }; });
}

}  // namespace rill::apps
