#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "apps/voice/lead_in.h"
#include "apps/voice/resampler.h"
#include "apps/voice/speech_text.h"
#include "apps/voice/wav.h"

namespace rill::apps {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

Result<WavFormat> read(std::string bytes) {
  const std::unique_ptr<std::FILE, CloseFile> file(bytes.empty() ? std::tmpfile()
                                                                 : ::fmemopen(bytes.data(), bytes.size(), "rb"));
  return read_wav_header(file.get(), "a.wav");
}

std::string valid() {
  const auto header = wav_header(1000);
  return {header.begin(), header.end()};
}

TEST(Wav, ReadsItsOwnHeader) {
  const Result<WavFormat> format = read(valid());
  ASSERT_TRUE(format.ok());
  EXPECT_EQ(format->rate, kSampleRate);
  EXPECT_EQ(format->channels, 1U);
  EXPECT_EQ(format->bits, 16U);
  EXPECT_EQ(format->bytes, 1000U);
}

TEST(Wav, TakesTheSizeOfAPipeAsToTheEnd) {
  for (const std::uint32_t size : {0U, 0xFFFFFFFFU}) {
    std::string file = valid();
    for (std::size_t i = 0; i < 4; ++i) file[40 + i] = static_cast<char>(size >> (8 * i));
    EXPECT_EQ(read(file)->bytes, UINT64_MAX);
  }
}

TEST(Wav, SaysWhatIsWrongWithAFile) {
  const auto changed = [](std::size_t at, std::string_view bytes) {
    std::string file = valid();
    return read(file.replace(at, bytes.size(), bytes));
  };
  using namespace std::string_view_literals;
  for (const Result<WavFormat>& result :
       {read(""), read("RIFF"), changed(0, "RIFX"), changed(12, "what"), changed(36, "junk"),
        changed(16, "\xff\xff\xff\xff"), changed(16, "\1\0\0\0"sv), changed(20, "\7\0"sv), changed(22, "\0\0"sv),
        changed(22, "\xff\xff"), changed(24, "\0\0\0\0"sv), changed(24, "\xff\xff\xff\xff"), changed(34, "\5\0"sv)}) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), Code::kBadInput);
    EXPECT_TRUE(result.status().message().starts_with("a.wav: ")) << result.status().message();
  }
  EXPECT_EQ(changed(22, "\0\0"sv).status().message(),
            "a.wav: 0 channels, expected 1 to 8; convert it, for instance: sox FILE -r 16000 -c 1 -b 16 OUT.wav");
}

TEST(Wav, SurvivesAlteredHeaders) {
  std::mt19937 chance(1);
  for (int i = 0; i < 20000; ++i) {
    std::string file = valid();
    for (int k = 0; k < 3; ++k) file[chance() % file.size()] = static_cast<char>(chance());
    file.resize(1 + chance() % file.size());
    const Result<WavFormat> format = read(file);
    if (!format.ok()) continue;
    EXPECT_GE(format->frame_bytes(), 1U);
    EXPECT_LE(format->frame_bytes(), 32U);
  }
}

/// A second of a sine at `rate`, resampled in pieces. @returns its greatest distance from the same sine at 16 kHz
double distance(std::uint32_t rate, double frequency) {
  const auto sine = [&](double t) { return 10000 * std::sin(2 * M_PI * frequency * t); };
  Resampler resampler(rate);
  std::vector<Sample> out;
  for (std::uint32_t begin = 0; begin < rate; begin += 50) {
    std::vector<Sample> in;
    for (std::uint32_t i = begin; i < begin + 50; ++i) in.push_back(static_cast<Sample>(sine(double{1} * i / rate)));
    std::vector<Sample> piece(resampler.most_output(in.size()));
    piece.resize(resampler.run(in, piece));
    out.insert(out.end(), piece.begin(), piece.end());
  }
  EXPECT_NEAR(static_cast<double>(out.size()), kSampleRate, 3);
  double worst = 0;
  for (std::size_t i = 200; i + 200 < out.size(); ++i) {
    const double delay = rate == kSampleRate ? 0 : 16.0 / rate;  // half the taps
    worst = std::max(worst, std::fabs(out[i] - sine(static_cast<double>(i) / kSampleRate - delay)));
  }
  return worst;
}

TEST(Resampler, KeepsASineAtEveryCommonRate) {
  for (const std::uint32_t rate : {8000U, 11000U, 16000U, 22050U, 24000U, 44100U, 48000U}) {
    EXPECT_LT(distance(rate, 440), 200) << rate;  // 2% of the amplitude
  }
}

TEST(SentenceCutter, CutsTheFirstClauseEarlyAndThenSentences) {
  const std::string reply =
      "Well, in my opinion, Dr. Smith paid 3.5 dollars, e.g. for tea. Is that so? Yes!\nThe end, of all things";
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, reply.size()}) {
    SentenceCutter cutter;
    std::vector<std::string> pieces;
    for (std::size_t i = 0; i < reply.size(); i += step) {
      cutter.add(reply.substr(i, step));
      while (const std::optional<std::string> piece = cutter.next()) pieces.push_back(*piece);
    }
    pieces.push_back(cutter.rest());
    EXPECT_EQ(pieces, (std::vector<std::string>{"Well, in my opinion,", " Dr. Smith paid 3.5 dollars, e.g. for tea.",
                                                " Is that so?", " Yes!", "\nThe end, of all things"}))
        << step;
  }
}

TEST(SentenceCutter, CutsWhatNeverEndsBetweenWords) {
  SentenceCutter cutter;
  for (int i = 0; i < 100; ++i) cutter.add("word ");
  const std::optional<std::string> piece = cutter.next();
  ASSERT_TRUE(piece.has_value());
  EXPECT_LE(piece->size(), SentenceCutter::kLongestSentence);
  EXPECT_TRUE(piece->ends_with("word"));
}

TEST(SpokenForm, SaysWhatIsForEyesInWords) {
  const std::pair<const char*, const char*> kCases[] = {
      {"It is 21.5\u00B0C, with 60% humidity.", "It is 21.5 degrees Celsius, with 60 percent humidity."},
      {"**Bold** and *soft* `code`", "Bold and soft code"},
      {"# Title\n- one\n- two\n", "Title one two"},
      {"See [the page](http://x.y/z) or https://a.b/c.", "See the page or a link"},
      {"$1,250 for 3 km at 50 km/h", "1250 dollars for 3 kilometers at 50 kilometers per hour"},
      {"5-10 m, 2 + 2 = 4, 7 - 3", "5 to 10 meters, 2 plus 2 equals 4, 7 minus 3"},
      {"\u201CDon\u2019t\u201D \u2014 she said\u2026", "Don't, she said."},
      {"Great \U0001F600 idea \u2192 yes", "Great idea yes"},
      {"10:30, 3 mice, 5m", "10:30, 3 mice, 5 meters"},
      {"```python\nx\n```", "x"},
      {"[", ""},
      {"", ""}};
  for (const auto& [written, spoken] : kCases) EXPECT_EQ(spoken_form(written), spoken) << written;
}

TEST(SpokenForm, EndsOnAnyBytes) {
  constexpr std::string_view kBytes = "[](*`#-$1 ,.\n\xC2\xB0\xE2\xF0%hkm";
  std::mt19937 chance(1);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(chance() % 40, ' ');
    for (char& c : bytes) c = kBytes[chance() % kBytes.size()];
    EXPECT_LE(spoken_form(bytes).size(), 40 * 25) << bytes;
  }
}

TEST(FirstWords, RoundsDownToWholeWords) {
  EXPECT_EQ(first_words("one two three four", 0.5), "one two");
  EXPECT_EQ(first_words(" one two", 0.99), " one");
  EXPECT_EQ(first_words("one two", 0.49), "");
  EXPECT_EQ(first_words("one two ", 1), "one two ");
  EXPECT_EQ(first_words("", 0.5), "");
}

/// What the model got was the phrase's own small letters, without marks and without what is not ASCII.
TEST(SpeechText, AQuestionGoesOnBehindItsWakePhraseAsItWasHeard) {
  const auto behind = [](std::string_view text, std::string_view phrase) {
    const auto place = behind_phrase(text, phrase);
    return place.has_value() ? std::string(text.substr(*place)) : "none";
  };
  EXPECT_EQ(behind("Hey, Computer! Wie sp\u00e4t ist es in 3.5 Stunden?", "hey computer"),
            "Wie sp\u00e4t ist es in 3.5 Stunden?");
  EXPECT_EQ(behind("\u041f\u0440\u0438\u0432\u0435\u0442, Rill. \u00bfY?", "\u043f\u0440\u0438\u0432\u0435\u0442 rill"),
            "Y?");
  EXPECT_EQ(behind("I said: computer.", "Computer"), "");
  EXPECT_EQ(behind("What's up", "whats"), "up");
  EXPECT_EQ(behind("computers are here", "computer"), "none");
  EXPECT_EQ(behind("\xff\xfe computer \xff go", "computer"), "go");
  EXPECT_EQ(behind("computer", "..."), "none");
  EXPECT_TRUE(has_words("\u4f60\u597d"));
  EXPECT_FALSE(has_words(" \u3002.!"));
}

TEST(LeadIn, DropsSilenceBeforeTheFirstSoundAndNothingAfterIt) {
  LeadIn lead_in;
  std::vector<Sample> piece(3200, Sample{60});
  EXPECT_TRUE(lead_in.after_silence(piece).empty());
  piece[2000] = -3000;
  const std::span<const Sample> played = lead_in.after_silence(piece);
  EXPECT_EQ(played.size(), 1200 + LeadIn::kKept);
  EXPECT_EQ(played[LeadIn::kKept], -3000);
  EXPECT_EQ(lead_in.after_silence(std::vector<Sample>(3200)).size(), 3200U) << "a pause is none of its business";
}

TEST(LeadIn, KeepsAVoiceThatBeginsAtOnce) {
  LeadIn lead_in;
  const std::vector<Sample> piece(100, Sample{5000});
  EXPECT_EQ(lead_in.after_silence(piece).size(), 100U);
}

}  // namespace
}  // namespace rill::apps
