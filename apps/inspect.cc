// rill inspect: what is in a .rill file.

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>

#include "apps/command.h"
#include "apps/model_options.h"
#include "apps/plan_report.h"
#include "core/chat_template.h"
#include "core/model_file.h"
#include "core/tokenizer_section.h"

namespace rill::apps {
namespace {

std::string_view name_of(format::TensorFormat format) {
  switch (format) {
    case format::TensorFormat::kFloat32:
      return "float32";
    case format::TensorFormat::kUint64:
      return "uint64";
    case format::TensorFormat::kInt8Tiles:
      return "int8";
  }
  return "";
}

std::string tensor_name(const format::TensorEntry& entry) {
  const std::string_view padded(entry.name, sizeof entry.name);
  return std::string(padded.substr(0, padded.find('\0')));
}

std::string tokenizer_kind(const ModelFile& model) {
  if (model.tokenizer_section().empty()) return "none";
  const auto section = TokenizerSection::parse(model.tokenizer_section());
  if (!section.ok()) return "damaged";
  return section->header().kind == TokenizerKind::kByteLevelBpe ? "byte-level bpe" : "sentencepiece";
}

/// How turns are laid out; null for a model that does not chat.
nlohmann::ordered_json chat_of(const Result<ChatSection>& chat) {
  if (!chat.ok()) return nullptr;
  constexpr std::array<const char*, ChatForm::kTexts> kNames = {
      "system_begin", "system_end", "first_user_begin", "user_begin_after_system",
      "user_begin",   "user_end",   "reply_end"};
  nlohmann::ordered_json shown = {{"form", chat->form.name}, {"default_system", chat->default_system}};
  const auto texts = chat->form.texts();
  for (std::size_t i = 0; i < texts.size(); ++i) shown[kNames[i]] = texts[i];
  shown["marks"] = nlohmann::ordered_json::array();
  for (const std::string_view mark : chat->form.marks) {
    if (!mark.empty()) shown["marks"].push_back(mark);
  }
  return shown;
}

/// JSON of what a file says, which may be no UTF-8.
std::string json_text(const nlohmann::ordered_json& value, int indent = -1, bool ascii = false) {
  return value.dump(indent, ' ', ascii, nlohmann::ordered_json::error_handler_t::replace);
}

void print_turns(const ChatSection& chat) {
  const auto quoted = [](std::string_view text) { return json_text(text, -1, /*ascii=*/true); };
  std::cout << "  system text: " << quoted(chat.form.system_begin) << ' ' << quoted(chat.default_system) << ' '
            << quoted(chat.form.system_end) << "\n  turns: " << quoted(chat.form.first_user_begin) << " question "
            << quoted(chat.form.user_end) << " reply " << quoted(chat.form.reply_end) << ' '
            << quoted(chat.form.user_begin) << " question ...\n";
}

Status run_inspect(const std::string& path, bool verify, bool json) {
  RILL_ASSIGN(const ModelFile model, ModelFile::open(path));
  if (!model.tokenizer_section().empty()) RILL_TRY(TokenizerSection::parse(model.tokenizer_section()).status());
  const auto chat = parse_chat_section(model.chat_section(), text(path));
  nlohmann::ordered_json intact = nullptr;  // unknown unless every byte was read
  Status verified;
  if (verify) {
    verified = model.verify([](const format::TensorEntry&, bool) {});
    intact = verified.ok();
  }
  nlohmann::ordered_json config;
  for_each_field(model.config(), [&](std::string_view name, auto value, double, double) {
    if constexpr (std::is_enum_v<decltype(value)>) {
      config[std::string(name)] = static_cast<std::uint32_t>(value);
    } else {
      config[std::string(name)] = value;
    }
  });
  if (json) {
    nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
    for (const format::TensorEntry& t : model.entries()) {
      tensors.push_back({{"name", tensor_name(t)},
                         {"format", name_of(t.format)},
                         {"rows", t.rows},
                         {"columns", t.columns},
                         {"group", t.group},
                         {"offset", t.offset},
                         {"bytes", t.bytes},
                         {"crc32", t.crc32}});
    }
    std::cout << json_text({{"family", model.family()},
                            {"config", config},
                            {"tensors", tensors},
                            {"tokenizer", tokenizer_kind(model)},
                            {"chat", chat_of(chat)},
                            {"crc_ok", intact}},
                           2)
              << '\n';
    return verified;
  }
  std::cout << path << ": family " << model.family() << ", " << human_bytes(model.bytes().size()) << ", tokenizer "
            << tokenizer_kind(model) << ", chat form ";
  std::cout << (chat.ok() ? chat->form.name : "none") << '\n';
  if (chat.ok()) print_turns(*chat);
  for (const auto& [name, value] : config.items()) std::cout << "  " << name << " = " << value << '\n';
  for (const format::TensorEntry& t : model.entries()) {
    std::printf("  %-28s %-8s [%llu, %llu] at %llu, %llu bytes, crc32 %08x\n", tensor_name(t).c_str(),
                name_of(t.format).data(), static_cast<unsigned long long>(t.rows),
                static_cast<unsigned long long>(t.columns), static_cast<unsigned long long>(t.offset),
                static_cast<unsigned long long>(t.bytes), t.crc32);
  }
  if (verify && verified.ok()) std::printf("every checksum holds\n");
  return verified;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  struct Arguments {
    std::string path;
    bool verify = false;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand("inspect", "Show a .rill file's header and tensors, and check its checksums");
  command.add_option("FILE", arguments->path, "A .rill file")->required();
  command.add_flag(
      "--verify", arguments->verify,
      "Read every byte and check it against the checksums (crc_ok; null without: the weights were not read)");
  command.add_flag("--json", arguments->json, "Print JSON on standard output");
  command.footer("Example: rill inspect smollm2.rill --verify");
  command.callback([arguments, &action] {
    action = [arguments] { return run_inspect(arguments->path, arguments->verify, arguments->json); };
  });
}

}  // namespace rill::apps
