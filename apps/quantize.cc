// rill quantize: any model that Rill imports, to a .rill file.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "apps/command.h"
#include "apps/plan_report.h"
#include "apps/progress.h"
#include "core/chat_template.h"
#include "quant/chat_section.h"
#include "quant/published_shapes.h"
#include "quant/quantizer.h"
#include "quant/source_model.h"
#include "quant/synthetic_writer.h"
#include "quant/tokenizer_writer.h"

namespace rill::apps {
namespace {

struct QuantizeArguments {
  std::string source;
  std::string synthetic;
  std::string output;
  std::string tokenizer;
  std::string chat_form;
  std::optional<std::string> system;
  std::uint32_t group = 32;
  double temperature = -1;
  double top_p = -1;
  std::int64_t top_k = -1;
  std::int64_t sink_token = -1;
  bool softmax_plus_one = false;
  bool rotate = false;
  bool no_calibration = false;
  bool report = false;
  bool json = false;
};

/// What the command line says of the model itself. kUsage for what this model cannot have.
Status refine(const QuantizeArguments& arguments, ModelConfig& config) {
  if (arguments.sink_token >= config.vocabulary) {
    return bad_usage({.where = text("--sink-token"),
                      .what = text(arguments.sink_token),
                      .expected = text("an id below the vocabulary's ", config.vocabulary),
                      .remedy = {}});
  }
  if (arguments.softmax_plus_one && config.softmax != Softmax::kStandard) {
    return bad_usage({.where = text("--softmax-plus-one"),
                      .what = text("the model has sink logits of its own"),
                      .expected = text("a model with the plain softmax"),
                      .remedy = {}});
  }
  if (arguments.temperature >= 0) config.temperature = arguments.temperature;
  if (arguments.top_p >= 0) config.top_p = arguments.top_p;
  if (arguments.top_k >= 0)
    config.top_k = static_cast<std::uint32_t>(std::min<std::int64_t>(arguments.top_k, UINT32_MAX));
  if (arguments.sink_token >= 0) {  // one sink that was learned is as good as four tokens (the paper, section 3.3)
    config.sink_token = static_cast<Token>(arguments.sink_token);
    config.default_sinks = 1;
  }
  if (arguments.softmax_plus_one) {
    config.softmax = Softmax::kPlusOne;
    config.default_sinks = config.sink_token != kNoToken ? 1 : 0;
  }
  return {};
}

/// The source with what the command line says and no published format has a place for.
class WithOptions final : public quant::SourceModel {
 public:
  WithOptions(std::unique_ptr<quant::SourceModel> source, const ModelConfig& config)
      : source_(std::move(source)), config_(config) {}
  const ModelConfig& config() const override { return config_; }
  std::string_view family() const override { return source_->family(); }
  std::string_view format() const override { return source_->format(); }
  std::uint64_t bytes_in() const override { return source_->bytes_in(); }
  std::span<const quant::TensorName> names() const override { return source_->names(); }
  const quant::SourceTensor* find(std::string_view name) const override { return source_->find(name); }
  Status read_rows(const quant::SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                   std::span<float> out) const override {
    return source_->read_rows(tensor, first, count, out);
  }
  std::vector<double> rope_turns() const override { return source_->rope_turns(); }
  std::vector<double> alibi_slopes() const override { return source_->alibi_slopes(); }
  const quant::SourceTokenizer& tokenizer() const override { return source_->tokenizer(); }
  quant::ChatTemplate chat_template() const override { return source_->chat_template(); }

 private:
  std::unique_ptr<quant::SourceModel> source_;
  ModelConfig config_;
};

void print_report(const quant::QuantizeReport& report) {
  std::printf("  %-28s %10s %10s %10s %14s\n", "tensor", "rows", "columns", "SNR, dB", "largest error");
  for (const quant::TensorDistortion& t : report.tensors) {
    std::printf("  %-28s %10llu %10llu %10.2f %14.3g\n", t.name.c_str(), static_cast<unsigned long long>(t.rows),
                static_cast<unsigned long long>(t.columns), t.snr_db, t.largest_error);
  }
}

Result<quant::QuantizeReport> import(const QuantizeArguments& arguments, quant::Progress progress) {
  RILL_ASSIGN(auto opened, quant::open_source_model(arguments.source, arguments.tokenizer));
  ModelConfig config = opened->config();
  RILL_TRY(refine(arguments, config));
  const WithOptions source(std::move(opened), config);
  RILL_ASSIGN(const quant::TextSections text_sections,
              quant::write_text_sections(
                  source, source.config().vocabulary,
                  {.form = arguments.chat_form, .system = arguments.system ? &*arguments.system : nullptr}));
  if (text_sections.tokenizer.empty()) {
    std::fputs("rill: no tokenizer comes with this model: without --tokenizer FILE it takes ids, and no text\n",
               stderr);
  }
  if (!text_sections.notice.empty()) std::fprintf(stderr, "rill: chat template: %s\n", text_sections.notice.c_str());
  if (arguments.system.has_value() && text_sections.chat.empty()) {
    return bad_usage({.where = text("--system"),
                      .what = text("the model has no chat form that could hold it"),
                      .expected = {},
                      .remedy = text("name one with --chat-form")});
  }
  return quant::quantize(source, arguments.output,
                         {.group = arguments.group,
                          .is_rotated = arguments.rotate,
                          .calibrates = !arguments.no_calibration,
                          .tokenizer_section = text_sections.tokenizer,
                          .chat_section = std::as_bytes(std::span(text_sections.chat)),
                          .progress = progress});
}

/// Random weights of a published shape.
Result<quant::QuantizeReport> invent(const QuantizeArguments& arguments, quant::Progress progress) {
  RILL_ASSIGN(const quant::PublishedShape* const shape, quant::find_published_shape(arguments.synthetic));
  ModelConfig config = shape->config();
  RILL_TRY(refine(arguments, config));
  return quant::write_synthetic_model(
      *shape, config, arguments.output,
      {.group = arguments.group, .tokenizer_section = {}, .chat_section = {}, .progress = progress});
}

nlohmann::ordered_json json_of(const quant::QuantizeReport& report, bool with_tensors) {
  nlohmann::ordered_json json = {{"family", report.family},          {"parameters", report.parameters},
                                 {"bytes_in", report.bytes_in},      {"bytes_out", report.bytes_out},
                                 {"seconds", report.seconds},        {"snr_db_min", report.snr_db_min},
                                 {"snr_db_mean", report.snr_db_mean}};
  if (!with_tensors) return json;
  for (const quant::TensorDistortion& t : report.tensors) {
    json["tensors"].push_back({{"name", t.name},
                               {"rows", t.rows},
                               {"columns", t.columns},
                               {"snr_db", t.snr_db},
                               {"largest_error", t.largest_error}});
  }
  return json;
}

Status run_quantize(const QuantizeArguments& arguments) {
  if (arguments.source.empty() == arguments.synthetic.empty()) {
    return bad_usage({.where = text("quantize"),
                      .what = text(arguments.source.empty() ? "no source" : "a source and --synthetic"),
                      .expected = text("SRC, or --synthetic NAME"),
                      .remedy = {}});
  }
  if (arguments.group % 16 != 0) {
    return bad_usage(
        {.where = text("--group"), .what = text(arguments.group), .expected = text("a multiple of 16"), .remedy = {}});
  }
  Progress progress("quantising", "bytes");
  const auto show = [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); };
  RILL_ASSIGN(const auto report, arguments.synthetic.empty() ? import(arguments, show) : invent(arguments, show));
  progress.wipe();
  if (arguments.json) {
    std::cout << json_of(report, arguments.report).dump(2) << '\n';
    return {};
  }
  if (arguments.report) print_report(report);
  const double millions = static_cast<double>(report.parameters) / 1e6;
  if (!arguments.synthetic.empty()) {
    std::printf("%s: %s, %.1f million random parameters, %s, %.1f s\n", arguments.output.c_str(), report.family.c_str(),
                millions, human_bytes(report.bytes_out).c_str(), report.seconds);
    return {};
  }
  std::printf(
      "%s: %s, %.1f million parameters, %s from %s, %.1f s; signal to noise %.1f dB at least, %.1f dB on average\n",
      arguments.output.c_str(), report.family.c_str(), millions, human_bytes(report.bytes_out).c_str(),
      human_bytes(report.bytes_in).c_str(), report.seconds, report.snr_db_min, report.snr_db_mean);
  return {};
}

/// "stories15M, SmolLM2-135M, ...".
std::string shape_names() {
  std::string names;
  for (const quant::PublishedShape& shape : quant::published_shapes()) {
    names += (names.empty() ? "" : ", ") + std::string(shape.name);
  }
  return names;
}

}  // namespace

void add_quantize(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<QuantizeArguments>();
  CLI::App& command = *app.add_subcommand("quantize", "Import a model and write it as an int8 .rill file");
  command.add_option("SRC", arguments->source, "A GGUF file, a Hugging Face directory, or a llama2.c checkpoint");
  command.add_option("-o,--output", arguments->output, "The .rill file to write; appears only when it is whole")
      ->required();
  auto* const synthetic =
      command.add_option("--synthetic", arguments->synthetic,
                         "Instead of SRC: random weights of a published shape, for benchmarks: " + shape_names());
  command.add_option("--tokenizer", arguments->tokenizer, "A SentencePiece model, for a source without a tokenizer")
      ->excludes(synthetic);
  command
      .add_option("--chat-form", arguments->chat_form,
                  std::string(chat_form_names().view()) + ", or none (default: as the source's own template has it)")
      ->excludes(synthetic);
  command
      .add_option("--system", arguments->system,
                  "The default system prompt, kept in the file (default: the template's own)")
      ->excludes(synthetic);
  command.add_option("--group", arguments->group, "Inputs that share a scale: a multiple of 16")
      ->check(CLI::Range(16U, 256U))
      ->capture_default_str();
  command
      .add_flag(
          "--rotate", arguments->rotate,
          "Instead of calibration, turn the network's coordinates so that no activation stands out. For models with "
          "RMSNorm in front")
      ->excludes(synthetic);
  command
      .add_flag("--no-calibration", arguments->no_calibration,
                "Import faster, and lose more: do not run the model on 128 random tokens to see which of its "
                "activations are large, and share their size with the weights")
      ->excludes(synthetic);
  command.add_option("--temperature", arguments->temperature, "The model's own sampling temperature, kept in the file")
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--top-p", arguments->top_p, "The model's own top-p, kept in the file")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--top-k", arguments->top_k, "The model's own top-k, kept in the file; 0: no limit")
      ->check(CLI::Range(0, 1 << 24));
  command
      .add_option("--sink-token", arguments->sink_token,
                  "The model was trained with this token in front of every text: feed it as a sink that never leaves")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{kNoToken} - 1));
  command.add_flag("--softmax-plus-one", arguments->softmax_plus_one,
                   "The model was trained with exp(x) / (1 + sum of exp) in attention, and needs no sinks");
  command.add_flag("--report", arguments->report, "Print the distortion of each tensor");
  command.add_flag("--json", arguments->json, "Print JSON on standard output");
  command.footer("Example: rill quantize SmolLM2-135M-Instruct.Q4_1.gguf -o smollm2.rill --report");
  command.callback([arguments, &action] { action = [arguments] { return run_quantize(*arguments); }; });
}

}  // namespace rill::apps
