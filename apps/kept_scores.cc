#include "apps/kept_scores.h"

#include <cstdio>
#include <cstring>
#include <utility>

#include "apps/shown_text.h"
#include "core/checksum.h"

namespace rill::apps {

/// How far a run has come, as it lies in the keeper's note.
struct KeptScores::Note {
  std::uint64_t total = 0;  ///< tokens of the whole run
  std::uint64_t done = 0;   ///< of them, fed
  std::uint64_t scored = 0;
  std::uint32_t tokens_crc32 = 0;  ///< of the whole run's
  std::uint32_t nll_crc32 = 0;     ///< of the values scored
  std::uint32_t blocks = 0;
  std::uint32_t reserved = 0;
};

Status KeptScores::open(Engine& engine, std::span<const Token> tokens, std::uint32_t blocks, std::vector<double>& nll) {
  RILL_ASSIGN(const bool restored, open_state(*arguments_, *keeper_, engine, "perplexity"));
  if (!keeper_->is_open()) return {};
  total_ = tokens.size();
  tokens_crc32_ = crc32(std::as_bytes(tokens));
  blocks_ = blocks;
  Result<LockedFile> file = LockedFile::open(arguments_->file + ".nll");
  if (!file.ok() && !restored) return give_up(file.status());
  RILL_TRY(file.status());
  file_ = std::move(*file);
  if (!restored) return begin();
  Note note;
  std::memcpy(&note, keeper_->note().data(), sizeof note);
  if (note.total != total_ || note.tokens_crc32 != tokens_crc32_ || note.blocks != blocks || note.done > note.total ||
      note.scored > note.done) {
    return bad_input({.where = text(arguments_->file),
                      .what = text("a run over another text: ", note.total, " tokens with checksum ", note.tokens_crc32,
                                   ", blocks of ", note.blocks),
                      .expected = text(total_, " tokens, checksum ", tokens_crc32_, ", blocks of ", blocks),
                      .remedy = text("name another file; this one is left as it is")});
  }
  return read_scores(note, nll);
}

Status KeptScores::begin() {
  RILL_ASSIGN(const std::uint64_t bytes, file_.size());
  if (bytes > 0) {
    return bad_input({.where = file_.name(),
                      .what = text(bytes, " bytes, although the state beside it is new"),
                      .expected = text("no file, for the NLLs of what is scored"),
                      .remedy = text("remove it, or begin with another --state")});
  }
  save(0, 0);  // from now on FILE.nll is known to be this run's, whatever moment it ends at
  return watch_.settle();
}

void KeptScores::save(std::uint64_t done, std::uint64_t scored) {
  done_ = done;
  const Note note = {.total = total_,
                     .done = done,
                     .scored = scored,
                     .tokens_crc32 = tokens_crc32_,
                     .nll_crc32 = nll_crc32_,
                     .blocks = blocks_};
  std::memcpy(keeper_->note().data(), &note, sizeof note);
  keeper_->save();
}

Status KeptScores::read_scores(const Note& note, std::vector<double>& nll) {
  nll.resize(static_cast<std::size_t>(note.scored));
  RILL_TRY(file_.read(0, std::as_writable_bytes(std::span(nll))));
  if (crc32(std::as_bytes(std::span(nll))) != note.nll_crc32) {
    return bad_input({.where = file_.name(),
                      .what = text("its first ", note.scored, " values are not those of the state beside it"),
                      .expected = {},
                      .remedy = text("begin anew with another --state")});
  }
  done_ = note.done;
  appended_ = nll.size();
  nll_crc32_ = note.nll_crc32;
  return {};
}

Status KeptScores::give_up(const Status& status) {
  has_failed_ = true;
  if (arguments_->required) return status;
  print_failure(status.message(), "; going on without a state");
  return {};
}

Status KeptScores::append(std::span<const double> nll) {
  const std::span<const std::byte> values = std::as_bytes(nll.subspan(appended_));
  RILL_TRY(file_.write(appended_ * sizeof(double), values));
  RILL_TRY(file_.sync());
  nll_crc32_ = crc32(values, nll_crc32_);
  appended_ = nll.size();
  return {};
}

Status KeptScores::reach(std::uint64_t done, std::span<const double> nll, bool now) {
  if (!is_open()) return {};
  RILL_TRY(watch_.look());
  if (!is_open()) return {};
  if (done == done_ || (!now && (done - done_ < every_ || keeper_->is_busy()))) return {};
  if (const Status status = append(nll); !status.ok()) return give_up(status);
  save(done, nll.size());
  return {};
}

}  // namespace rill::apps
