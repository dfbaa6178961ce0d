#include "quant/chat_layout.h"

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>

#include "quant/jinja/render.h"
#include "quant/json_document.h"

namespace rill::quant {
namespace {

using nlohmann::ordered_json;

Status bad_template(const Text& what) {
  return bad_input({.where = text("chat template"),
                    .what = what,
                    .expected = text("turns one behind the other, of a user and of the model"),
                    .remedy = text("pick a form with --chat-form NAME, or --chat-form none for a model that does not "
                                   "chat")});
}

constexpr std::string_view kSpaces = " \n\t\r";

/// Words that no template has, one for each message.
std::string word(std::size_t index) { return "Qz" + std::to_string(index) + "wordzQ"; }

/// Renders conversations and takes them apart at their words.
class Probe {
 public:
  explicit Probe(const ChatTemplate& source) : source_(source) {}

  /// Whether the template writes the date.
  bool is_dated() const {
    const Result<std::string> timeless = render("u", /*has_time=*/false);
    const Result<std::string> timed = render("u", /*has_time=*/true);
    return timed.ok() && (!timeless.ok() || *timeless != *timed);
  }

  /// The texts in front of, between and behind the messages.
  /// @param roles  a letter for each: s, u, a
  Result<std::vector<std::string>> texts_of(std::string_view roles) const {
    Result<std::string> found = render(roles, /*has_time=*/false);
    if (!found.ok()) found = render(roles, /*has_time=*/true);  // some ask without asking whether there is one
    RILL_ASSIGN(const std::string rendered, std::move(found));
    std::vector<std::string> texts;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < roles.size(); ++i) {
      const std::size_t at = rendered.find(word(i));
      if (at == rendered.npos || at < begin || rendered.find(word(i), at + 1) != rendered.npos) {
        return bad_template(text("a message is left out, stands twice or not in its turn"));
      }
      texts.push_back(rendered.substr(begin, at - begin));
      begin = at + word(i).size();
    }
    texts.push_back(rendered.substr(begin));
    return texts;
  }

 private:
  Result<std::string> render(std::string_view roles, bool has_time) const {
    ordered_json messages = ordered_json::array();
    for (std::size_t i = 0; i < roles.size(); ++i) {
      const char* const role = roles[i] == 's' ? "system" : roles[i] == 'u' ? "user" : "assistant";
      messages.push_back({{"role", role}, {"content", word(i)}});
    }
    // A thought would be read out and push the conversation out of the window.
    ordered_json variables = {{"messages", std::move(messages)},
                              {"add_generation_prompt", true},
                              {"enable_thinking", false},
                              {"bos_token", source_.bos_token},
                              {"eos_token", source_.eos_token}};
    if (has_time) variables["strftime_now"] = std::int64_t{std::time(nullptr)};
    RILL_ASSIGN(const jinja::Rendering rendering, jinja::render(source_.jinja, variables, text("chat template")));
    if (rendering.is_refusal) return bad_template(text("it refuses a conversation: ", legible(rendering.text)));
    return rendering.text;
  }

  const ChatTemplate& source_;
};

/// The first of the tokens in a text: where it stands, and its spelling.
struct FirstToken {
  std::size_t at = std::string::npos;
  std::string_view spelling;

  FirstToken(std::string_view text, const std::vector<std::string>& tokens) {
    for (const std::string& token : tokens) {
      const std::size_t found = token.empty() ? text.npos : text.find(token);
      if (found < at || (found != text.npos && found == at && token.size() > spelling.size())) {
        at = found;
        spelling = token;
      }
    }
  }
};

/// Takes what stands between a reply and what the user says next apart. What is in front of the token that ends the
/// reply is the model's to write.
void split_behind_reply(const std::string& between, const ChatTokens& tokens, ChatLayout& found) {
  FirstToken end(between, tokens.ends);
  if (end.at == std::string::npos) {  // the model's makers name the token for their text's end alone
    end = FirstToken(between, tokens.others);
    found.end_token = end.spelling;
  }
  found.user_begin = between;
  if (end.at == std::string::npos) return;  // a reply ends with a token that the template does not repeat
  const std::size_t behind = std::min(between.find_first_not_of(kSpaces, end.at + end.spelling.size()), between.size());
  found.reply_end = between.substr(end.at, behind - end.at);
  found.user_begin = between.substr(behind);
}

void say(std::string& notice, std::string_view more) {
  if (!notice.empty()) notice += "; ";
  notice += more;
}

/// Where a system text stands, and the makers' own. False if the template has no place for one.
bool find_system(const Probe& probe, const std::vector<std::string>& one, const ChatTokens& tokens,
                 std::string_view bos, ChatLayout& found) {
  const Result<std::vector<std::string>> with = probe.texts_of("su");
  found.system_begin = one[0];
  found.first_user_begin = one[0];
  if (!with.ok() || (*with)[2] != one[1]) {
    found.system_end = "\n\n";
    say(found.notice, "the template has no place for a system text: Rill puts one in front of the first user's words");
    return false;
  }
  const std::string& begin = (*with)[0];
  const std::string& between = (*with)[1];
  found.system_begin = begin;
  found.system_end = between;
  if (!found.user_begin.empty() && between.ends_with(found.user_begin)) {
    found.user_begin_after_system = found.user_begin;
    found.system_end.resize(between.size() - found.user_begin.size());
  }
  if (one[0].size() <= begin.size() + between.size() || !one[0].starts_with(begin) || !one[0].ends_with(between)) {
    return true;
  }
  const std::string system = one[0].substr(begin.size(), one[0].size() - begin.size() - between.size());
  const auto is_there = [&](const std::vector<std::string>& all) { return FirstToken(system, all).at != system.npos; };
  if (is_there(tokens.ends) || is_there(tokens.others)) return true;  // more than a text: it stays where it is
  found.default_system = system;
  // Of a conversation without the makers' text the template says nothing: as later turns begin, at a text's beginning.
  found.first_user_begin =
      found.user_begin.substr(std::min(found.user_begin.find_first_not_of(kSpaces), found.user_begin.size()));
  if (!bos.empty() && one[0].starts_with(bos) && !found.first_user_begin.starts_with(bos)) {
    found.first_user_begin.insert(0, bos);
  }
  return true;
}

/// Whether three turns are laid out as the texts of one and two say.
bool is_laid_out_alike(const Probe& probe, std::string_view roles, std::vector<std::string> expected,
                       const std::vector<std::string>& two) {
  for (int turn = 0; turn < 2; ++turn) expected.insert(expected.end(), two.begin() + 1, two.begin() + 3);
  expected.push_back(two[3]);
  const Result<std::vector<std::string>> longer = probe.texts_of(roles);
  return longer.ok() && *longer == expected;
}

}  // namespace

ChatForm ChatLayout::form() const {
  return {.name = {},
          .system_begin = system_begin,
          .system_end = system_end,
          .first_user_begin = first_user_begin,
          .user_begin_after_system = user_begin_after_system,
          .user_begin = user_begin,
          .user_end = user_end,
          .reply_end = reply_end,
          .marks = {}};
}

Result<ChatLayout> find_chat_layout(const ChatTemplate& source, const ChatTokens& tokens) {
  const Probe probe(source);
  RILL_ASSIGN(const std::vector<std::string> one, probe.texts_of("u"));
  RILL_ASSIGN(const std::vector<std::string> two, probe.texts_of("uau"));
  ChatLayout found;
  found.user_end = one[1];
  // An earlier reply may have less in front of it than where one begins: a thought that is over. Or white space more,
  // as the model's replies begin with it.
  const bool is_thought = one[1].starts_with(two[1]);
  const bool is_spaced =
      two[1].starts_with(one[1]) && two[1].find_first_not_of(kSpaces, one[1].size()) == std::string::npos;
  if (two[0] != one[0] || two[3] != one[1] || !(is_thought || is_spaced)) {
    return bad_template(text("a turn is not laid out as the first one is"));
  }
  if (!is_thought && two[1].size() > one[1].size() + 1) {
    say(found.notice, "the template has white space in front of replies, which the model may not begin one with");
  }
  if (is_thought && two[1] != one[1]) {
    say(found.notice, std::string("the template leaves \"")
                          .append(legible(std::string_view(one[1]).substr(two[1].size())).view())
                          .append("\" out of earlier replies, where Rill keeps what it has read"));
  }
  split_behind_reply(two[2], tokens, found);
  const bool has_system = find_system(probe, one, tokens, source.bos_token, found);
  if (!is_laid_out_alike(probe, "uauau", {one[0]}, two) ||
      (has_system && !is_laid_out_alike(probe, "suauau",
                                        {found.system_begin, found.system_end + found.user_begin_after_system}, two))) {
    say(found.notice,
        "the template lays out what was said earlier in another way later on, where Rill keeps what it has read");
  }
  for (std::string* const text : {&found.system_begin, &found.first_user_begin}) {
    if (text->starts_with(tokens.begins)) text->erase(0, tokens.begins.size());
  }
  if (probe.is_dated()) say(found.notice, "the template writes the date, which stands still in the model file");
  return found;
}

}  // namespace rill::quant
