#include "data/tokenizer/basic_tokenizer.h"

#include <algorithm>
#include <map>
#include <string>

#include "data/check.h"

namespace berth::data {
namespace {

CharKind kind_in_word(char32_t c, bool isolated) {
  if (isolated || unicode::is_punctuation(c)) return CharKind::kIsolated;
  return unicode::is_whitespace(c) ? CharKind::kSpace : CharKind::kWord;
}

size_t utf8_size(std::u32string_view text) {
  char buffer[4];
  size_t size = 0;
  for (const char32_t c : text) size += unicode::encode(c, buffer);
  return size;
}

bool strips_accents(const TokenizerOptions& options) { return options.strip_accents.value_or(options.do_lower_case); }

}  // namespace

CharTable::Entry CharTable::make_entry(char32_t c, const TokenizerOptions& options) {
  if (unicode::is_removed_by_cleaning(c)) return {CharKind::kDrop, 0, 0};
  if (unicode::is_whitespace(c)) return {CharKind::kSpace, 0, 0};
  const bool isolated = options.tokenize_chinese_chars && unicode::is_cjk(c);
  std::u32string mapped(1, c);
  if (strips_accents(options)) {
    mapped = unicode::decompose(c);
    note_growth(c, mapped);
    const auto stays = [](char32_t d) { return unicode::combining_class(d) != 0 && !unicode::is_nonspacing_mark(d); };
    if (std::any_of(mapped.begin(), mapped.end(), stays)) return {CharKind::kReorder, 0, 0};
    if (unicode::combining_class(mapped[0]) != 0) return {CharKind::kMark, 0, 0};
    std::erase_if(mapped, unicode::is_nonspacing_mark);
  }
  if (options.do_lower_case) {
    std::u32string lowered;
    for (const char32_t d : mapped) lowered += unicode::lower_case(d);
    mapped = lowered;
    note_growth(c, mapped);
  }
  if (mapped == std::u32string(1, c)) return {kind_in_word(c, isolated), 0, 0};
  const Entry entry{CharKind::kSequence, static_cast<uint8_t>(mapped.size()), static_cast<uint16_t>(outputs_.size())};
  for (const char32_t d : mapped) {
    Output output{{}, 0, kind_in_word(d, isolated)};
    output.size = static_cast<uint8_t>(unicode::encode(d, output.utf8));
    outputs_.push_back(output);
  }
  check_internal(outputs_.size() <= 0xFFFF, "the table of normalized code points is too small for this ICU");
  return entry;
}

CharTable::CharTable(const TokenizerOptions& options) {
  std::vector<Entry> page;
  std::map<std::vector<std::pair<int, int>>, uint16_t> known;
  const auto add = [&](Entry entry) {
    page.push_back(entry);
    if (page.size() < 256) return;
    std::vector<std::pair<int, int>> key;
    key.reserve(page.size());
    for (const Entry& e : page) key.emplace_back(static_cast<int>(e.kind) << 8 | e.count, e.first);
    const auto [found, inserted] = known.emplace(std::move(key), static_cast<uint16_t>(known.size()));
    if (inserted) entries_.insert(entries_.end(), page.begin(), page.end());
    pages_.push_back(found->second);
    page.clear();
  };
  unicode::for_each_range([&](char32_t first, char32_t last, bool uniform) {
    const Entry one = make_entry(first, options);
    add(one);
    for (char32_t c = first + 1; c <= last; ++c) add(uniform ? one : make_entry(c, options));
  });
  check_internal(pages_.size() == unicode::kCodePoints >> 8, "ICU did not enumerate all code points");
}

void CharTable::note_growth(char32_t c, std::u32string_view mapped) {
  const size_t before = utf8_size({&c, 1});
  max_growth_ = std::max(max_growth_, (utf8_size(mapped) + before - 1) / before);
}

// Appends to `words`, which has room; keeps track of the word being built.
class BasicTokenizer::Writer {
 public:
  Writer(Words& words, uint32_t first) : words_(words), first_(first), next_(first) {}

  bool in_word() const { return next_ > first_; }
  uint32_t position() const { return next_; }

  void put(const char* bytes, uint32_t size, ByteRange source) {
    for (uint32_t k = 0; k < size; ++k) {
      words_.text[next_] = bytes[k];
      words_.sources[next_++] = source;
    }
  }
  void put(const char* bytes, uint32_t size, ByteRange source, CharKind kind) {
    if (kind != CharKind::kWord) end_word();
    if (kind == CharKind::kSpace) return;
    put(bytes, size, source);
    if (kind == CharKind::kIsolated) end_word();
  }
  void end_word() {
    if (in_word()) words_.words.push_back({first_, next_ - first_, words_.sources[first_].begin, false});
    first_ = next_;
  }

 private:
  Words& words_;
  uint32_t first_, next_;
};

BasicTokenizer::BasicTokenizer(const TokenizerOptions& options) : options_(options), table_(options) {
  ascii_kind_.fill(CharKind::kReorder);
  for (char32_t c = 0; c < 128; ++c) {
    const CharTable::Entry entry = table_[c];
    const bool mapped = entry.kind == CharKind::kSequence;
    ascii_kind_[c] = mapped ? table_.outputs(entry)->kind : entry.kind;
    ascii_[c] = mapped ? table_.outputs(entry)->utf8[0] : static_cast<char>(c);
  }
}

void BasicTokenizer::split(std::string_view text, size_t begin, size_t end, Words& words) const {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  words.words.clear();
  const size_t room = (end - begin) * table_.max_growth();
  if (words.text.size() < room) words.text.resize(room);
  uint32_t out = 0;
  for (size_t i = begin; i < end;) {
    const CharKind kind = ascii_kind_[bytes[i]];
    if (kind == CharKind::kSpace || kind == CharKind::kDrop) {
      ++i;
    } else if (kind == CharKind::kIsolated) {
      words.text[out] = text[i];
      words.words.push_back({out++, 1, static_cast<uint32_t>(i), true});
      ++i;
    } else {
      size_t j = i;
      char* to = words.text.data() + out;
      while (j < end && ascii_kind_[bytes[j]] == CharKind::kWord) *to++ = ascii_[bytes[j++]];
      const CharKind next = j < end ? ascii_kind_[bytes[j]] : CharKind::kSpace;
      if (next == CharKind::kSpace || next == CharKind::kIsolated) {
        words.words.push_back({out, static_cast<uint32_t>(j - i), static_cast<uint32_t>(i), true});
        out += static_cast<uint32_t>(j - i);
        i = j;
      } else {
        if (words.sources.size() < room) words.sources.resize(room);
        Writer writer(words, out);
        i = split_general(text, i, end, writer);
        out = writer.position();
      }
    }
  }
}

// From `position` to where the text is ASCII again and no word is open; returns that position.
size_t BasicTokenizer::split_general(std::string_view text, size_t position, size_t end, Writer& writer) const {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  size_t i = position;
  while (i < end) {
    const bool ascii = bytes[i] < 0x80;
    if (ascii && i > position && !writer.in_word()) break;
    if (ascii) {
      const ByteRange source{static_cast<uint32_t>(i), static_cast<uint32_t>(i + 1)};
      const CharKind kind = ascii_kind_[bytes[i]];
      if (kind != CharKind::kDrop) writer.put(&ascii_[bytes[i]], 1, source, kind);
      ++i;
      continue;
    }
    const auto [c, size] = unicode::decode(text.data() + i);
    const ByteRange source{static_cast<uint32_t>(i), static_cast<uint32_t>(i + size)};
    const CharTable::Entry entry = table_[c];
    switch (entry.kind) {
      case CharKind::kWord:
        writer.put(text.data() + i, size, source);
        break;
      case CharKind::kSpace:
      case CharKind::kIsolated:
        writer.put(text.data() + i, size, source, entry.kind);
        break;
      case CharKind::kSequence: {
        const CharTable::Output* outputs = table_.outputs(entry);
        for (int k = 0; k < entry.count; ++k) writer.put(outputs[k].utf8, outputs[k].size, source, outputs[k].kind);
        break;
      }
      case CharKind::kDrop:
        break;
      case CharKind::kMark:
        i = skip_marks(text, i, end, writer);
        continue;
      case CharKind::kReorder:
        i = reorder(text, i, end, writer);
        continue;
    }
    i += size;
  }
  writer.end_word();
  return i;
}

size_t BasicTokenizer::skip_marks(std::string_view text, size_t position, size_t end, Writer& writer) const {
  for (size_t i = position; i < end;) {
    const auto [c, size] = unicode::decode(text.data() + i);
    const CharKind kind = table_[c].kind;
    if (kind == CharKind::kReorder) return reorder(text, position, end, writer);
    if (kind != CharKind::kMark && kind != CharKind::kDrop) return i;
    i += size;
  }
  return end;
}

// Canonical ordering of one starter (or none) with all non-starters that follow. `tokenizers` keeps its alignment by counting: a
// code point that is the first of a decomposition takes the next original one, the others take the same as the one before them,
// in the order *after* sorting.
size_t BasicTokenizer::reorder(std::string_view text, size_t position, size_t end, Writer& writer) const {
  struct Item {
    char32_t c;
    int combining_class;
    bool inserted;
  };
  std::vector<Item> items;
  std::vector<ByteRange> sources;
  size_t i = position;
  while (i < end) {
    const auto [c, size] = unicode::decode(text.data() + i);
    const CharKind kind = table_[c].kind;
    if (kind == CharKind::kMark || kind == CharKind::kReorder) {
      const std::u32string mapped = unicode::decompose(c);
      if (!items.empty() && unicode::combining_class(mapped[0]) == 0) break;
      for (size_t k = 0; k < mapped.size(); ++k) items.push_back({mapped[k], unicode::combining_class(mapped[k]), k > 0});
      sources.push_back({static_cast<uint32_t>(i), static_cast<uint32_t>(i + size)});
    } else if (kind != CharKind::kDrop) {
      break;
    }
    i += size;
  }
  std::stable_sort(items.begin(), items.end(),
                   [](const Item& a, const Item& b) { return a.combining_class < b.combining_class; });
  size_t consumed = 0;
  for (const Item& item : items) {
    if (!item.inserted) ++consumed;
    if (unicode::is_nonspacing_mark(item.c)) continue;
    for (const char32_t c : options_.do_lower_case ? unicode::lower_case(item.c) : std::u32string(1, item.c)) {
      char utf8[4];
      writer.put(utf8, unicode::encode(c, utf8), sources[consumed - 1]);
    }
  }
  return i;
}

}  // namespace berth::data
