// rill tokenize: text to ids and back.

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/model_options.h"
#include "apps/shown_text.h"
#include "apps/text_input.h"

namespace rill::apps {
namespace {

struct TokenizeArguments {
  std::string model;
  std::optional<std::string> text;
  std::string file;
  std::vector<std::string> decode;
  bool special = false;
  bool json = false;
};

std::string decode_all(const Tokenizer& tokenizer, const std::vector<Token>& tokens) {
  Utf8Stream characters(tokenizer.strips_first_space());
  std::string all;
  std::vector<char> buffer(1024);
  for (const Token token : tokens) {
    const std::string_view special = tokenizer.special_spelling(token);
    const std::string_view bytes = special.empty() ? tokenizer.bytes_of(token) : special;
    if (buffer.size() < bytes.size() * 3 + 12) buffer.resize(bytes.size() * 3 + 12);
    all += characters.add(bytes, buffer);
  }
  all += characters.finish(buffer);
  return all;
}

Status run_tokenize(const TokenizeArguments& arguments) {
  if (!arguments.text.has_value() && arguments.file.empty() && arguments.decode.empty()) {
    return bad_usage({.where = text("rill tokenize"),
                      .what = text("nothing to turn into ids"),
                      .expected = text("TEXT, --file or --decode"),
                      .remedy = {}});
  }
  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model));
  std::string text_in = arguments.text.value_or("");
  if (!arguments.file.empty()) {
    RILL_ASSIGN(text_in, read_text(arguments.file));
  }
  std::vector<Token> tokens;
  if (!arguments.decode.empty()) {
    RILL_ASSIGN(const TextTokenizer tokenizer, TextTokenizer::load(model, 0));
    std::string joined;
    for (const std::string& id : arguments.decode) joined += id + ' ';
    RILL_ASSIGN(tokens, parse_ids(joined, tokenizer->vocabulary(), text("--decode")));
    text_in = decode_all(*tokenizer, tokens);
  } else {
    RILL_ASSIGN(tokens, TextTokenizer::encode_with(
                            model, text_in, arguments.special ? SpecialTokens::kControl : SpecialTokens::kText, false));
  }
  if (arguments.json) {
    const auto replace = nlohmann::ordered_json::error_handler_t::replace;
    const nlohmann::ordered_json json = {{"tokens", tokens}, {"text", text_in}};
    std::cout << without_controls(json.dump(-1, ' ', false, replace)) << '\n';
  } else if (!arguments.decode.empty()) {
    ShownText(stdout).write(text_in);
    std::putchar('\n');
  } else {
    for (std::size_t i = 0; i < tokens.size(); ++i) std::cout << (i > 0 ? " " : "") << tokens[i];
    std::cout << '\n';
  }
  return {};
}

}  // namespace

void add_tokenize(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<TokenizeArguments>();
  CLI::App& command = *app.add_subcommand("tokenize", "Turn text into ids, or ids into text");
  command.add_option("MODEL", arguments->model, "A .rill model file")->required();
  auto* text_option = command.add_option("TEXT", arguments->text, "The text");
  auto* file_option = command.add_option("--file", arguments->file, "A file with the text")->excludes(text_option);
  command.add_option("--decode", arguments->decode, "Ids, separated by spaces: print their text")
      ->expected(1, 1 << 30)
      ->excludes(text_option)
      ->excludes(file_option);
  command.add_flag("--special", arguments->special, "Special tokens spelt out in the text count as such");
  command.add_flag("--json", arguments->json, "Print JSON on standard output");
  command.footer(
      "Example: rill tokenize smollm2.rill \"Once upon a time\"\n"
      "         rill tokenize smollm2.rill --decode 6403 1980 253 655");
  command.callback([arguments, &action] { action = [arguments] { return run_tokenize(*arguments); }; });
}

}  // namespace rill::apps
