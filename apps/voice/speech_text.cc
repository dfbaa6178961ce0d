#include "apps/voice/speech_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <iterator>
#include <optional>
#include <vector>

namespace rill::apps {
namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// True if the dot at the end of `text` belongs to a word: "Dr.", "e.g.", "J."
bool ends_in_abbreviation(std::string_view text) {
  text.remove_suffix(1);
  const auto begin = std::find_if(text.rbegin(), text.rend(), [](char c) { return is_space(c) || c == '('; }).base();
  const std::string_view word(begin, text.end());
  constexpr std::array<std::string_view, 14> kKnown = {"Mr",  "Mrs", "Ms", "Dr",     "Prof", "St", "vs",
                                                       "e.g", "i.e", "No", "approx", "Jr",   "Sr", "etc"};
  if (word.size() == 1 && is_letter(word[0]) && word != "I") return true;
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_digit)) {  // "1." of a list: nothing stands before it
    return std::all_of(text.begin(), begin, is_space);
  }
  return std::find(kKnown.begin(), kKnown.end(), word) != kKnown.end();
}

struct Word {
  std::string_view written;
  std::string_view spoken;
};

// Symbols that are words, wherever they stand; longer ones before those that they begin with.
constexpr Word kSymbols[] = {
    {"\u00B0C", " degrees Celsius"},
    {"\u00B0F", " degrees Fahrenheit"},
    {"\u00B0", " degrees"},
    {"%", " percent"},
    {"&", " and "},
    {"\u00D7", " times "},
    {"\u00F7", " divided by "},
    {"\u2248", " about "},
    {"\u00B1", " plus or minus "},
    {"\u2018", "'"},
    {"\u2019", "'"},
    {"\u201C", ""},
    {"\u201D", ""},
    {"\"", ""},
    {"\u2013", ", "},
    {"\u2014", ", "},
    {"\u2026", "."},
    {"\u2022", ""},
    {"\u00A0", " "},
    {"\u00B2", " squared"},
    {"\u00B3", " cubed"},
    {"**", ""},
    {"__", ""},
    {"`", ""},
    {"~~", ""},
    {"|", ", "},
    {"=", " equals "},
    {"<", " less than "},
    {">", " greater than "},
};

// Units behind a number; longer ones first likewise.
constexpr Word kUnits[] = {
    {"km/h", "kilometers per hour"},
    {"mph", "miles per hour"},
    {"m/s", "meters per second"},
    {"km", "kilometers"},
    {"kg", "kilograms"},
    {"kWh", "kilowatt hours"},
    {"kW", "kilowatts"},
    {"cm", "centimeters"},
    {"mm", "millimeters"},
    {"ml", "milliliters"},
    {"mg", "milligrams"},
    {"MB", "megabytes"},
    {"GB", "gigabytes"},
    {"Hz", "hertz"},
    {"min", "minutes"},
    {"ft", "feet"},
    {"lbs", "pounds"},
    {"m", "meters"},
    {"g", "grams"},
    {"W", "watts"},
    {"V", "volts"},
};

constexpr Word kCurrencies[] = {{"$", " dollars"}, {"\u20AC", " euros"}, {"\u00A3", " pounds"}};

/// Takes text apart from the left and puts together what is said.
class Cleaner {
 public:
  explicit Cleaner(std::string_view text) : rest_(text) {}

  std::string run() {
    while (!rest_.empty()) {
      if (at_line_begin_) drop_line_marks();
      if (rest_.empty()) break;
      if (take_link() || take_currency() || take_number() || take_symbol()) continue;
      const char c = rest_.front();
      if (c == '*' || c == '#') {
        rest_.remove_prefix(1);
      } else if (static_cast<unsigned char>(c) >= 0xE2) {
        drop_pictograph();
      } else {
        put(rest_.substr(0, 1));
        rest_.remove_prefix(1);
      }
    }
    while (!out_.empty() && is_space(out_.back())) out_.pop_back();
    return out_;
  }

 private:
  /// Spaces and line ends become one space; none at the beginning, none before punctuation.
  void put(std::string_view part) {
    for (const char c : part) {
      at_line_begin_ = c == '\n';
      if (is_space(c)) {
        if (!out_.empty() && out_.back() != ' ') out_ += ' ';
        continue;
      }
      if ((c == ',' || c == '.') && !out_.empty() && out_.back() == ' ') out_.pop_back();
      if (c == ',' && out_.empty()) continue;
      out_ += c;
    }
  }

  /// "# ", "- ", "> ", "* " and fences at a line's begin.
  void drop_line_marks() {
    at_line_begin_ = false;
    const std::size_t end = rest_.find_first_not_of(" \t#>");
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end);
    if (rest_.starts_with("- ") || rest_.starts_with("* ") || rest_.starts_with("+ ")) rest_.remove_prefix(2);
    if (rest_.starts_with("```")) {
      const std::size_t line = rest_.find('\n');
      rest_.remove_prefix(line == std::string_view::npos ? rest_.size() : line);
    }
  }

  /// [words](address) is read as its words, a bare address as "a link".
  bool take_link() {
    if (rest_.front() == '[') {
      const std::size_t words = rest_.find("](");
      const std::size_t end = words == std::string_view::npos ? words : rest_.find(')', words);
      if (end == std::string_view::npos) {
        rest_.remove_prefix(1);
        return true;
      }
      put(spoken_form(rest_.substr(1, words - 1)));
      rest_.remove_prefix(end + 1);
      return true;
    }
    if (!rest_.starts_with("http://") && !rest_.starts_with("https://")) return false;
    const std::size_t end = std::min(rest_.find_first_of(" \n\t)"), rest_.size());
    put("a link");
    rest_.remove_prefix(end);
    return true;
  }

  bool take_currency() {
    for (const Word& currency : kCurrencies) {
      if (!rest_.starts_with(currency.written)) continue;
      rest_.remove_prefix(currency.written.size());
      if (!rest_.empty() && is_digit(rest_.front())) {
        put_digits();
        put(currency.spoken);
      }
      return true;
    }
    return false;
  }

  /// A number with the unit behind it, a range as "to", and signs between numbers by their names.
  bool take_number() {
    if (!is_digit(rest_.front())) return false;
    put_digits();
    const std::string_view behind = rest_.substr(std::min(rest_.find_first_not_of(' '), rest_.size()));
    for (const Word& unit : kUnits) {
      if (!behind.starts_with(unit.written)) continue;
      if (behind.size() > unit.written.size() && is_letter(behind[unit.written.size()])) continue;
      put(" ");
      put(unit.spoken);
      rest_ = behind.substr(unit.written.size());
      return true;
    }
    for (const Word& sign : {Word{"-", " to "}, Word{"\u2013", " to "}, Word{"+", " plus "}, Word{"*", " times "}}) {
      if (!behind.starts_with(sign.written)) continue;
      const std::string_view next = behind.substr(sign.written.size());
      const std::size_t digit = next.find_first_not_of(' ');
      if (digit == std::string_view::npos || !is_digit(next[digit])) continue;
      put(sign.spoken == " to " && digit > 0 ? std::string_view(" minus ") : sign.spoken);
      rest_ = next.substr(digit);
      return true;
    }
    return true;
  }

  /// Digits with their point; commas between thousands are for eyes.
  void put_digits() {
    std::size_t i = 0;
    for (; i < rest_.size(); ++i) {
      const bool digit_follows = i + 1 < rest_.size() && is_digit(rest_[i + 1]);
      if (rest_[i] == ',' && digit_follows) continue;
      if (!is_digit(rest_[i]) && !(rest_[i] == '.' && digit_follows)) break;
      put(rest_.substr(i, 1));
    }
    rest_.remove_prefix(i);
  }

  bool take_symbol() {
    for (const Word& symbol : kSymbols) {
      if (!rest_.starts_with(symbol.written)) continue;
      put(symbol.spoken);
      rest_.remove_prefix(symbol.written.size());
      return true;
    }
    return false;
  }

  /// A character of three or four bytes that is no symbol we know: arrows, emoji, box drawing. Letters of such scripts
  /// (from U+3000 on, below the pictographs) stay: a voice of their language can say them.
  void drop_pictograph() {
    const auto lead = static_cast<unsigned char>(rest_.front());
    const std::size_t size = std::min<std::size_t>(lead >= 0xF0 ? 4 : 3, rest_.size());
    if (lead > 0xE2 && lead < 0xEF) put(rest_.substr(0, size));
    rest_.remove_prefix(size);
  }

  std::string_view rest_;
  std::string out_;
  bool at_line_begin_ = true;
};

}  // namespace

std::optional<std::string> SentenceCutter::next() {
  const std::string_view text = waiting_;
  const auto cut = [&](std::size_t size) {
    std::string piece(text.substr(0, size));
    waiting_.erase(0, size);
    is_first_ = false;
    return piece;
  };
  const std::size_t begin = std::min(text.find_first_not_of(" \n\t\r"), text.size());
  for (std::size_t i = begin; i + 1 < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') return cut(i + 1);
    if (!is_space(text[i + 1])) continue;
    if (c == '!' || c == '?' || (c == '.' && !ends_in_abbreviation(text.substr(0, i + 1)))) return cut(i + 1);
    if (is_first_ && (c == ',' || c == ';' || c == ':') && i + 1 - begin >= kShortestClause) return cut(i + 1);
  }
  if (text.size() > kLongestSentence) {
    const std::size_t space = text.rfind(' ', kLongestSentence);
    return cut(space == std::string_view::npos || space <= begin ? text.size() : space);
  }
  return std::nullopt;
}

std::string SentenceCutter::rest() {
  std::string left = std::move(waiting_);
  reset();
  return left;
}

void SentenceCutter::reset() {
  waiting_.clear();
  is_first_ = true;
}

std::string spoken_form(std::string_view text) { return Cleaner(text).run(); }

namespace {

/// Lower case, letters and digits of any script, one space between words: what a phrase is compared by.
struct PlainWords {
  std::string text;
  std::vector<std::size_t> origin;  ///< of each byte: where its character stood
};

PlainWords plain_words(std::string_view text) {
  constexpr utf8proc_int32_t kApostrophe = 0x2019;
  PlainWords words;
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t character = -1;
    const utf8proc_ssize_t size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at),
                                                   static_cast<utf8proc_ssize_t>(text.size() - at), &character);
    const utf8proc_category_t category = size > 0 ? utf8proc_category(character) : UTF8PROC_CATEGORY_CN;
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO) {  // letters, their marks, digits
      std::array<utf8proc_uint8_t, 4> bytes{};
      const utf8proc_ssize_t count = utf8proc_encode_char(utf8proc_tolower(character), bytes.data());
      words.text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(count));
      words.origin.resize(words.text.size(), at);
    } else if (!words.text.empty() && words.text.back() != ' ' && character != '\'' && character != kApostrophe) {
      words.text += ' ';
      words.origin.push_back(at);
    }
    at += size > 0 ? static_cast<std::size_t>(size) : 1;
  }
  if (!words.text.empty() && words.text.back() == ' ') words.text.pop_back();
  return words;
}

}  // namespace

std::optional<std::size_t> behind_phrase(std::string_view text, std::string_view phrase) {
  const PlainWords heard = plain_words(text);
  const std::string wanted = plain_words(phrase).text;
  std::string between(1, ' ');
  between.append(heard.text).append(1, ' ');
  std::string whole_words(1, ' ');
  whole_words.append(wanted).append(1, ' ');
  const std::size_t found = between.find(whole_words);
  if (found == std::string::npos || wanted.empty()) return std::nullopt;
  const std::size_t next = found + wanted.size() + 1;  // in heard.text: what is behind the phrase and a space
  return next < heard.text.size() ? heard.origin[next] : text.size();
}

bool has_words(std::string_view text) { return !plain_words(text).text.empty(); }

std::string_view first_words(std::string_view text, double share) {
  std::size_t words = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    words += !is_space(text[i]) && (i == 0 || is_space(text[i - 1])) ? 1 : 0;
  auto left = static_cast<std::size_t>(static_cast<double>(words) * std::clamp(share, 0.0, 1.0));
  if (left == words) return text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!is_space(text[i]) || i == 0 || is_space(text[i - 1])) continue;
    if (left == 0) break;
    if (--left == 0) return text.substr(0, i);
  }
  return {};
}

}  // namespace rill::apps
