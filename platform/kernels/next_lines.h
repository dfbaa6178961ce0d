// What the matrix loops fetch ahead of themselves. To be included once, inside a set's unnamed namespace.

/// Lines of memory that will be read next: whoever computes fetches them meanwhile, part by part, so that memory is
/// busy all the time; into the second-level cache, as the first one is full of what is computed with.
struct NextLines {
  const std::byte* first;
  std::size_t count;

  /// Of the panel of up to `panel_groups` groups that comes when a row block's groups before `end` are done: in the
  /// same row block, or in the next.
  static NextLines behind(const std::byte* block, const TileShape& shape, std::size_t end, std::size_t panel_groups) {
    const bool is_in_block = end < shape.groups();
    const std::size_t next = is_in_block ? end : 0;
    const std::size_t left = shape.groups() - next;
    const std::size_t next_end = next + (panel_groups < left ? panel_groups : left);
    return {.first = block + (is_in_block ? shape.group_begin(next) : shape.block_bytes()),
            .count = (shape.group_begin(next_end) - shape.group_begin(next)) / kAlignment};
  }
  /// The share of [from, to) among `all`. Always inline: GCC drops calls of a function that does nothing else.
  [[gnu::always_inline]] void fetch(std::size_t from, std::size_t to, std::size_t all) const {
    const std::size_t end = count * to / all;
    for (std::size_t i = count * from / all; i < end; ++i) __builtin_prefetch(first + i * kAlignment, 0, 2);
  }
};
