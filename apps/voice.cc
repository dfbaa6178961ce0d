// rill voice: speak, be answered, interrupt.

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/model_options.h"
#include "apps/voice/loop.h"
#include "core/conversation.h"

namespace rill::apps {
namespace {

constexpr const char* kVoiceSystem =
    "You are a helpful voice assistant. Everything you say is read aloud. Answer in one or two short sentences of "
    "plain "
    "words, without lists.";

struct VoiceArguments {
  ModelArguments model;
  std::string system = kVoiceSystem;
  std::uint64_t most_tokens = 120;
  std::string in = "alsa:default";
  std::string out = "alsa:default";
  std::string activity = default_voice_activity();
  std::string recognizer = "pocketsphinx";
  std::string speaker = "flite";
  std::string recognizer_memory = "384MiB";
  std::string speaker_memory = "96MiB";
  bool is_paced = false;
  LoopSetting loop;
};

/// The conversation with the model, as the loop sees it.
class ModelAnswerer final : public Answerer {
 public:
  ModelAnswerer(Engine& engine, Conversation& conversation, std::uint64_t most_tokens)
      : engine_(&engine), conversation_(&conversation), most_tokens_(most_tokens) {}

  Status answer(std::string_view user, Listener listener) override {
    conversation_->mark(engine_->state_snapshot().first(engine_->session(0).state_bytes()));
    return conversation_->say(user, most_tokens_, listener).status();
  }
  Status retell(std::string_view user, std::string_view said) override { return conversation_->retell(user, said); }

 private:
  Engine* engine_;
  Conversation* conversation_;
  std::uint64_t most_tokens_;
};

double rounded(double seconds) { return static_cast<double>(static_cast<std::int64_t>(seconds * 1000 + 0.5)) / 1000; }

std::string dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void print_json(std::FILE* out, const VoiceReport& report) {
  nlohmann::json line = {{"t", rounded(report.t)}, {"state", name_of(report.state)}};
  if (report.heard != nullptr) line["heard"] = *report.heard;
  if (report.reply != nullptr) line["reply"] = *report.reply;
  if (report.spoken != nullptr) line["spoken"] = *report.spoken;
  if (const VoiceLatency* l = report.latency; l != nullptr) {
    line["latency"] = {{"activity_s", rounded(l->activity)}, {"recognizer_s", rounded(l->recognizer)},
                       {"prefill_s", rounded(l->prefill)},   {"clause_s", rounded(l->clause)},
                       {"speaker_s", rounded(l->speaker)},   {"first_sample_s", rounded(l->total)}};
  }
  std::fprintf(out, "%s\n", dump(line).c_str());
  std::fflush(out);
}

void print_text(std::FILE* out, const VoiceReport& report) {
  if (report.heard != nullptr) {
    std::fprintf(out, "%8.2f  > %s\n", report.t, report.heard->empty() ? "(nothing)" : report.heard->c_str());
  } else if (report.reply != nullptr) {
    const bool is_whole = report.spoken != nullptr && *report.spoken == *report.reply;
    std::fprintf(out, "%8.2f  %s%s\n", report.t, report.spoken->c_str(), is_whole ? "" : " ... (interrupted)");
  } else {
    std::fprintf(out, "%8.2f  [%s]\n", report.t, name_of(report.state).data());
  }
  std::fflush(out);
}

/// What the voice takes besides the model, under the names by which it is refused.
struct VoiceMemory {
  std::uint64_t rings = (VoiceLoop::kCaptureSamples + VoiceLoop::kPlaybackSamples) * sizeof(Sample);
  std::uint64_t recognizer = 0;
  std::uint64_t speaker = 0;

  std::uint64_t total() const { return rings + recognizer + speaker; }
};

/// Takes the voice's share off the budget, so that the model's plan is made with what is left.
Status share_budget(const VoiceMemory& memory, EngineOptions& options) {
  if (options.budget_bytes == 0) return {};
  if (options.budget_bytes <= memory.total()) {
    return over_budget({.where = text("--budget"),
                        .what = text("the voice alone may take ", memory.total(), " bytes: audio rings ", memory.rings,
                                     ", recognizer ", memory.recognizer, ", speaker ", memory.speaker),
                        .expected = text("at most ", options.budget_bytes, ", the model included"),
                        .remedy = text("give them less (--recognizer-memory, --speaker-memory), or more to all")});
  }
  options.budget_bytes -= memory.total();
  return {};
}

void print_items(std::FILE* out, const Engine& engine, const VoiceMemory& memory) {
  const nlohmann::json items = {{{"name", "model"}, {"bytes", engine.plan().memory.total_bytes()}},
                                {{"name", "audio rings"}, {"bytes", memory.rings}},
                                {{"name", "recognizer, at most"}, {"bytes", memory.recognizer}},
                                {{"name", "speaker, at most"}, {"bytes", memory.speaker}}};
  std::fprintf(out, "%s\n", dump({{"t", 0.0}, {"state", "listening"}, {"items", items}}).c_str());
  std::fflush(out);
}

/// Reads a frame of nothing through everything that is slow the first time.
Status warm_up(Recognizer& recognizer, Speaker& speaker) {
  const std::vector<Sample> silence(kFrameSamples * 30);
  RILL_TRY(recognizer.begin());
  RILL_TRY(recognizer.hear(silence));
  RILL_TRY(recognizer.end().status());
  return speaker.say("Hello.", [](std::span<const Sample>) { return true; });
}

LoopSetting loop_setting(const VoiceArguments& arguments, const AudioSource& source, const AudioSink& sink) {
  LoopSetting setting = arguments.loop;
  setting.is_clocked = !source.is_live() && (arguments.is_paced || sink.is_live());
  setting.is_lockstep = !arguments.is_paced && !source.is_live() && !sink.is_live();
  setting.keeps_time = !setting.is_lockstep;
  return setting;
}

bool is_asked_to_stop() { return termination_pending() || interrupt_pending(); }

Status run_voice(const VoiceArguments& arguments) {
  RILL_ASSIGN(const PartAddress ears, PartAddress::parse(arguments.recognizer, "--recognizer"));
  RILL_ASSIGN(const PartAddress mouth, PartAddress::parse(arguments.speaker, "--speaker"));
  RILL_ASSIGN(const std::uint64_t ears_memory, parse_size(arguments.recognizer_memory));
  RILL_ASSIGN(const std::uint64_t mouth_memory, parse_size(arguments.speaker_memory));
  Part recognizer_part(ears, ears_memory);
  Part speaker_part(mouth, mouth_memory);
  const VoiceMemory memory{.recognizer = recognizer_part.most_memory(), .speaker = speaker_part.most_memory()};

  RILL_ASSIGN(const std::unique_ptr<AudioSource> source, open_source(arguments.in));
  const bool has_room = arguments.in.starts_with("alsa:") && arguments.out.starts_with("alsa:");
  RILL_ASSIGN(const std::unique_ptr<VoiceActivity> activity, make_voice_activity(arguments.activity, has_room));

  RILL_ASSIGN(const ModelFile model, open_model(arguments.model));
  if (model.chat_section().empty()) {
    return bad_usage({.where = text(model.name()),
                      .what = text("the model has no chat form"),
                      .expected = {},
                      .remedy = text("import it with `rill quantize --chat-form NAME`")});
  }
  RILL_ASSIGN(const ChatSection chat, parse_chat_section(model.chat_section(), text(model.name())));
  // Room for a copy of the session: an interrupted reply goes back to the question and takes what was said aloud.
  StreamNeeds needs{.keeps_state = true};
  if (arguments.model.sinks == "system") {
    RILL_ASSIGN(needs.system_tokens, count_system_tokens(model, *chat.form, arguments.system));
  }
  RILL_ASSIGN(EngineOptions options, engine_options(arguments.model, model.config(), needs));
  RILL_TRY(share_budget(memory, options));
  RILL_ASSIGN(Engine engine, start_engine(model, options));
  engine.session(0).set_sampling(sampling_options(arguments.model, model.config()));
  RILL_ASSIGN(Conversation conversation, Conversation::open(engine, 0, *chat.form));

  PartRecognizer recognizer(recognizer_part);
  PartSpeaker speaker(speaker_part);
  RILL_TRY(warm_up(recognizer, speaker));
  RILL_TRY(conversation.begin(arguments.system));
  ModelAnswerer answerer(engine, conversation, arguments.most_tokens);

  catch_termination();
  catch_interrupts();
  RILL_ASSIGN(const std::unique_ptr<AudioSink> sink, open_sink(arguments.out));
  // Standard output is the audio's where it was asked for.
  std::FILE* const out = arguments.out == "-" ? stderr : stdout;
  if (arguments.model.json) print_items(out, engine, memory);
  const auto report = [&](const VoiceReport& told) {
    if (told.failure != nullptr) {
      std::fprintf(stderr, "rill: %.*s\n", static_cast<int>(told.failure->message().size()),
                   told.failure->message().data());
    } else if (arguments.model.json) {
      print_json(out, told);
    } else {
      print_text(out, told);
    }
  };
  VoiceLoop loop(loop_setting(arguments, *source, *sink),
                 {.source = source.get(),
                  .sink = sink.get(),
                  .activity = activity.get(),
                  .recognizer = &recognizer,
                  .speaker = &speaker,
                  .answerer = &answerer},
                 report);
  return loop.run(is_asked_to_stop);
}

void add_audio_arguments(CLI::App& command, VoiceArguments& a) {
  command.add_option("--in", a.in, "A WAV file, - for raw 16 kHz mono s16le on standard input, or alsa:DEVICE")
      ->capture_default_str();
  command.add_option("--out", a.out, "The same for the answers; with -, reports go to standard error")
      ->capture_default_str();
  command.add_flag(
      "--paced", a.is_paced,
      "Play a file at the pace of the world, and write silence where nothing is said (default: as fast as\n"
      "it can be answered, and only what is said is written)");
  command.add_option("--vad", a.activity, "What tells voice from noise: webrtc, or level, which needs no library")
      ->capture_default_str();
  command.add_option("--pause", a.loop.pause_seconds, "Seconds of silence that end a question")
      ->capture_default_str()
      ->check(CLI::Range(0.2, 5.0));
  command.add_option("--idle", a.loop.idle_seconds, "End after so many seconds in which nobody spoke (default: never)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--wake", a.loop.wake,
                     "Answer only what has this phrase in it, and what follows an answer within ten seconds");
}

}  // namespace

void add_voice(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<VoiceArguments>();
  CLI::App& command = *app.add_subcommand("voice", "Talk with the assistant: speak, be answered, interrupt");
  add_model_arguments(command, arguments->model);
  add_sampling_arguments(command, arguments->model);
  add_audio_arguments(command, *arguments);
  command
      .add_option("--recognizer", arguments->recognizer,
                  "pocketsphinx, or wyoming:HOST:PORT for a service (whisper's port is 10300)")
      ->capture_default_str();
  command
      .add_option("--speaker", arguments->speaker,
                  "flite, espeak-ng, or wyoming:HOST:PORT for a service (piper's port is 10200)")
      ->capture_default_str();
  command
      .add_option("--recognizer-memory", arguments->recognizer_memory,
                  "Most memory of the recogniser's process, part of --budget; it is started anew when it takes more")
      ->capture_default_str();
  command.add_option("--speaker-memory", arguments->speaker_memory, "The same for the speaker")->capture_default_str();
  command.add_option("--system", arguments->system, "The system prompt (default: asks for one or two sentences)");
  command.add_option("-n", arguments->most_tokens, "Most tokens of a reply")->capture_default_str();
  command.footer(
      "Speech during an answer stops it, and the conversation keeps of it what was said aloud. With --json each "
      "change\n"
      "of state is an object; `heard`, and `reply`, `spoken` and `latency` come with the turn. Ctrl-C or SIGTERM "
      "ends.\n"
      "Example: rill voice smollm2.rill --in question.wav --out answer.wav\n"
      "         rill voice smollm2.rill --recognizer wyoming:127.0.0.1:10300 --wake computer");
  command.callback([arguments, &action] { action = [arguments] { return run_voice(*arguments); }; });
}

}  // namespace rill::apps
