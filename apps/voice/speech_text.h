#pragma once
// A reply on its way to being spoken: cut into sentences while the model still writes, and cleaned of what is for eyes
// only.

#include <optional>
#include <string>
#include <string_view>

namespace rill::apps {

/// The system prompt of `rill voice`: answers that can be listened to.
inline constexpr const char* kVoiceSystem =
    "You are a helpful voice assistant. Everything you say is read aloud. Answer in one or two short sentences of "
    "plain words, without lists.";

/// Cuts text that comes in pieces. The first cut may be at a comma, so that the voice begins early; later ones are at
/// sentence ends, which sound better.
class SentenceCutter {
 public:
  static constexpr std::size_t kShortestClause = 16;    ///< bytes before a comma that are worth a first cut
  static constexpr std::size_t kLongestSentence = 240;  ///< bytes; a longer one is cut between two words

  void add(std::string_view text) { waiting_ += text; }
  /// The next piece, its spaces included, or none until more text comes.
  std::optional<std::string> next();
  /// What is left at the reply's end; may be empty.
  std::string rest();
  /// Forgets everything: a new reply.
  void reset();

 private:
  std::string waiting_;
  bool is_first_ = true;
};

/// The text as a voice should say it: no markdown, no symbols that have a word, plain ASCII punctuation. Letters with
/// accents stay.
std::string spoken_form(std::string_view text);

/// Where a text goes on behind the first place that has the words of `phrase`, whatever their case and the marks
/// between them: at its next word, or its end. Nothing if there is no such place.
std::optional<std::size_t> behind_phrase(std::string_view text, std::string_view phrase);
/// Whether there is a letter or a digit in it, of any script.
bool has_words(std::string_view text);

/// The first `share` (0 to 1) of the text's words, whole words only, rounded down.
std::string_view first_words(std::string_view text, double share);

}  // namespace rill::apps
