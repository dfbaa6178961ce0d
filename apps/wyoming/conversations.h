#pragma once
// Which conversation a turn belongs to: a fixed number of sessions, lent to conversations by their id or, where a
// client names none, for as long as its connection lasts.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rill::apps {

/// Lends places 0 .. count - 1. Of two turns with the same key the second finds the place of the first, unless as many
/// other keys came in between as there are places: the one that was not used for longest goes first.
class ConversationPlaces {
 public:
  struct Lent {
    std::size_t place = 0;
    bool is_new = false;  ///< nothing of what was said there before belongs to this key
  };

  explicit ConversationPlaces(std::size_t count) : places_(count) {}

  /// @param key  not empty. @param is_kept  says that a place's key is in use and must not be taken away; at least one
  /// place must be free of it.
  template <typename IsKept>
  Lent find(std::string_view key, IsKept is_kept) {
    std::size_t oldest = places_.size();
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (places_[i].key == key) return use(i, key, false);
      if (!is_kept(places_[i].key) && (oldest == places_.size() || places_[i].used < places_[oldest].used)) oldest = i;
    }
    return use(oldest == places_.size() ? 0 : oldest, key, true);
  }

  /// What find() lent has come to nothing: whoever asks for its key begins anew.
  void forget(std::size_t place) { places_[place] = {}; }

 private:
  struct Place {
    std::string key;
    std::uint64_t used = 0;
  };

  Lent use(std::size_t place, std::string_view key, bool is_new) {
    if (is_new) places_[place].key = key;
    places_[place].used = ++uses_;
    return {.place = place, .is_new = is_new};
  }

  std::vector<Place> places_;
  std::uint64_t uses_ = 0;
};

}  // namespace rill::apps
