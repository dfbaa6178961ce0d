#include "quant/json_document.h"

#include <exception>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "platform/mapped_file.h"

namespace rill::quant {
namespace {

using nlohmann::json;

/// Reads the document's events and throws a Status at the first that is not allowed; parse_json() catches it. Ahead of
/// the parser, whose own callback looks at all of an array's elements again after each object in it.
class Watcher final : public nlohmann::json_sax<json> {
 public:
  Watcher(const Text& where, const JsonLimits& limits) : where_(where), limits_(limits) {}

  bool null() override { return count(); }
  bool boolean(bool) override { return count(); }
  bool number_integer(number_integer_t) override { return count(); }
  bool number_unsigned(number_unsigned_t) override { return count(); }
  bool number_float(number_float_t, const string_t&) override { return count(); }
  bool string(string_t&) override { return count(); }
  bool binary(binary_t&) override { return count(); }
  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& key) override {
    if (!keys_.back().insert(key).second) {
      refuse(text("the key \"", legible(key), "\" stands twice in one object"), text("once"));
    }
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&, const json::exception& error) override {
    // A number beyond double has an error of its own.
    if (dynamic_cast<const json::out_of_range*>(&error) != nullptr) {
      refuse(text("JSON that cannot be held"), text("numbers in the range of double"));
    }
    refuse(text("not JSON at byte ", byte), {});
  }

 private:
  bool count() {
    if (++values_ > limits_.values) refuse(text("more values"), text("at most ", limits_.values));
    return true;
  }
  bool open() {
    if (static_cast<int>(keys_.size()) >= limits_.depth) {
      refuse(text("values inside one another"), text("at most ", limits_.depth, " levels"));
    }
    keys_.emplace_back();
    return count();
  }
  bool close() {
    keys_.pop_back();
    return true;
  }
  [[noreturn]] void refuse(const Text& what, const Text& expected) const {
    throw bad_input({.where = where_, .what = what, .expected = expected, .remedy = text(limits_.remedy)});
  }

  const Text& where_;
  const JsonLimits& limits_;
  std::size_t values_ = 0;
  std::vector<std::set<std::string>> keys_;  // of every object that is still open; none of an array
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
                      .remedy = text(limits.remedy)});
  }
  try {
    Watcher watcher(where, limits);
    json::sax_parse(document.begin(), document.end(), &watcher);
    return json::parse(document.begin(), document.end());
  } catch (const Status& refused) {
    return refused;
  } catch (const std::exception&) {
    return bad_input({.where = where,
                      .what = text("JSON that cannot be held"),
                      .expected = text("less of it, or more memory"),
                      .remedy = text(limits.remedy)});
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
                      .remedy = text(JsonLimits().remedy)});
  }
  return document;
}

}  // namespace rill::quant
