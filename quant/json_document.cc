#include "quant/json_document.h"

#include <exception>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "platform/mapped_file.h"

namespace rill::quant {
namespace {

using nlohmann::json;

Text not_json_remedy() { return text("copy or download the file again"); }

/// Watches the parser's events and throws a Status at the first that is not allowed; parse_json() catches it.
class Watcher {
 public:
  Watcher(const Text& where, int most_levels) : where_(where), most_levels_(most_levels) {}

  bool operator()(int level, json::parse_event_t event, const json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        if (level >= most_levels_) refuse(text("values inside one another"), text("at most ", most_levels_, " levels"));
        keys_.emplace_back();
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        keys_.pop_back();
        break;
      case json::parse_event_t::key:
        if (const auto& key = parsed.get_ref<const std::string&>(); !keys_.back().insert(key).second) {
          refuse(text("the key \"", legible(key), "\" stands twice in one object"), text("once"));
        }
        break;
      case json::parse_event_t::value:
        break;
    }
    return true;
  }

 private:
  [[noreturn]] void refuse(const Text& what, const Text& expected) const {
    throw bad_input({.where = where_, .what = what, .expected = expected, .remedy = not_json_remedy()});
  }

  const Text& where_;
  int most_levels_;
  std::vector<std::set<std::string>> keys_;  // of every object that is still open
};

}  // namespace

FixedText<80> legible(std::string_view name) {
  FixedText<80> out;
  for (const char c : name.substr(0, 81)) {  // one more than fits, so that the cut shows
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    out.append(control ? "?" : std::string_view(&c, 1));
  }
  return out;
}

Result<json> parse_json(std::string_view document, const Text& where, const JsonLimits& limits) {
  if (document.size() > limits.bytes) {
    return bad_input({.where = where,
                      .what = text(document.size(), " bytes of JSON"),
                      .expected = text("at most ", limits.bytes),
                      .remedy = not_json_remedy()});
  }
  try {
    return json::parse(document.begin(), document.end(), Watcher(where, limits.depth));
  } catch (const Status& refused) {
    return refused;
  } catch (const json::parse_error& error) {
    return bad_input(
        {.where = where, .what = text("not JSON at byte ", error.byte), .expected = {}, .remedy = not_json_remedy()});
  } catch (const std::exception&) {  // a number beyond double, or no memory left
    return bad_input({.where = where,
                      .what = text("JSON that cannot be held"),
                      .expected = text("numbers in the range of double"),
                      .remedy = not_json_remedy()});
  }
}

Result<json> read_json_object(const std::string& path) {
  RILL_ASSIGN(const MappedFile file, MappedFile::open(path));
  const auto* characters = reinterpret_cast<const char*>(file.bytes().data());
  RILL_ASSIGN(json document, parse_json({characters, file.bytes().size()}, text(path)));
  if (!document.is_object()) {
    return bad_input({.where = text(path),
                      .what = text("a JSON ", document.type_name()),
                      .expected = text("an object"),
                      .remedy = not_json_remedy()});
  }
  return document;
}

}  // namespace rill::quant
