#include "data/features/tag_scheme.h"

#include <algorithm>
#include <string_view>

#include "data/check.h"
#include "data/words.h"

namespace berth::data {
namespace {

struct Tag {
  char prefix = 'O';  // B, I, E, S, O; ? for anything else
  std::string_view type = {};
};

Tag parse(const std::string& text) {
  if (text == "O") return {};
  const bool prefixed = text.size() > 1 && text[1] == '-' && std::string_view("BIES").find(text[0]) != std::string_view::npos;
  return prefixed ? Tag{text[0], std::string_view(text).substr(2)} : Tag{'?', text};
}

bool open(const Tag& tag) { return tag.prefix == 'B' || tag.prefix == 'I'; }
bool goes_on(const Tag& before, const Tag& tag) { return open(before) && before.type == tag.type; }

// Does `tag` behind `before` break the scheme?
bool breaks_iob2(const Tag& before, const Tag& tag) {
  return tag.prefix == 'I' ? !goes_on(before, tag) : tag.prefix != 'O' && tag.prefix != 'B';
}
bool breaks_iob1(const Tag& before, const Tag& tag) {
  return tag.prefix == 'B' ? !goes_on(before, tag) : tag.prefix != 'O' && tag.prefix != 'I';
}
bool breaks_bioes(const Tag& before, const Tag& tag) {
  const bool inside = tag.prefix == 'I' || tag.prefix == 'E';
  return tag.prefix == '?' || (inside ? !goes_on(before, tag) : open(before));
}

struct Scheme {
  const char* name;
  bool (*breaks)(const Tag& before, const Tag& tag);
};
constexpr std::array<Scheme, 3> kSchemes{{{"IOB2", breaks_iob2}, {"IOB1", breaks_iob1}, {"BIOES", breaks_bioes}}};

}  // namespace

void TagSchemes::add(const std::vector<std::string>& tags, int64_t row) {
  Tag before;
  for (size_t i = 0; i <= tags.size(); ++i) {
    const Tag tag = i < tags.size() ? parse(tags[i]) : Tag{};
    prefixed_ |= tag.prefix != 'O' && tag.prefix != '?';
    for (size_t s = 0; s < kSchemes.size(); ++s)
      if (kSchemes[s].breaks(before, tag) && breaks_[s].tags++ == 0) breaks_[s].first_row = row;
    before = tag;
  }
}

std::string TagSchemes::describe() const {
  if (!prefixed_) return "";
  const auto best = std::min_element(breaks_.begin(), breaks_.end(), [](auto& a, auto& b) { return a.tags < b.tags; });
  const std::string name = kSchemes[static_cast<size_t>(best - breaks_.begin())].name;
  if (best->tags == 0) return name;
  return concat(name, ", which does not hold for ", counted(best->tags, "tag"), ", the first in row ", best->first_row,
                "; tags are kept, and entities are found as conlleval and seqeval find them");
}

}  // namespace berth::data
