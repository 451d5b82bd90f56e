#include "trainer/metrics/entities.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <limits>
#include <string_view>

#include "data/check.h"

namespace berth::train {
namespace {

struct Tag {
  char prefix = 'O';
  std::string_view type = "_";
  bool operator==(const Tag&) const = default;
};

bool one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

// "B-PER", "BPER" -> B, PER; "O", "B-" -> O, B and "_". What follows the first dash is the type; strict modes strip all dashes at
// its ends.
Tag parse_tag(const std::string& text, bool strip_dashes) {
  if (text.empty()) return {};
  std::string_view type = std::string_view(text).substr(1);
  if (strip_dashes) {
    while (type.starts_with('-')) type.remove_prefix(1);
    while (type.ends_with('-')) type.remove_suffix(1);
  } else if (const size_t dash = type.find('-'); dash != std::string_view::npos) {
    type.remove_prefix(dash + 1);
  }
  return {text[0], type.empty() ? std::string_view("_") : type};
}

// The rules of conlleval, by the tag before and the tag at a boundary.
bool lenient_end(const Tag& before, const Tag& tag) {
  return one_of(before.prefix, "ES") || (one_of(before.prefix, "BI") && one_of(tag.prefix, "BSO")) ||
         (!one_of(before.prefix, "O.") && before.type != tag.type);
}

bool lenient_start(const Tag& before, const Tag& tag) {
  return one_of(tag.prefix, "BS") || (one_of(before.prefix, "ESO") && one_of(tag.prefix, "EI")) ||
         (!one_of(tag.prefix, "O.") && before.type != tag.type);
}

std::vector<Entity> find_leniently(std::span<const std::string> texts) {
  std::vector<Entity> entities;
  Tag before{.prefix = 'O', .type = ""};
  size_t begin = 0;
  for (size_t i = 0; i <= texts.size(); ++i) {
    const Tag tag = i < texts.size() ? parse_tag(texts[i], false) : Tag{};
    if (lenient_end(before, tag))
      entities.push_back({std::string(before.type), static_cast<int64_t>(begin), static_cast<int64_t>(i)});
    if (lenient_start(before, tag)) begin = i;
    before = tag;
  }
  return entities;
}

// A strict scheme: pairs of tags between which an entity starts, goes on, or has ended.
enum class Types { kAny, kSame, kDifferent };

struct Rule {
  std::string_view before, tag;  // prefixes
  Types types;
  bool holds(const Tag& a, const Tag& b) const {
    return one_of(a.prefix, before) && one_of(b.prefix, tag) &&
           (types == Types::kAny || (a.type == b.type) == (types == Types::kSame));
  }
};

struct Scheme {
  std::string_view name, prefixes;
  std::vector<Rule> start, inside, end;
};

bool any_holds(const std::vector<Rule>& rules, const Tag& before, const Tag& tag) {
  return std::any_of(rules.begin(), rules.end(), [&](const Rule& rule) { return rule.holds(before, tag); });
}

const Scheme& scheme_rules(TagScheme scheme) {
  using enum Types;
  static const Scheme iob1 = {"IOB1",
                              "IOB",
                              {{"O", "I", kAny}, {"I", "I", kDifferent}, {"B", "I", kAny}, {"IB", "B", kSame}},
                              {{"BI", "I", kSame}},
                              {{"BI", "I", kDifferent}, {"BI", "O", kAny}, {"I", "B", kAny}, {"B", "B", kSame}}};
  static const Scheme iob2 = {
      "IOB2", "IOB", {{"IOB", "B", kAny}}, {{"BI", "I", kSame}}, {{"BI", "OB", kAny}, {"BI", "I", kDifferent}}};
  static const Scheme iobes = {"IOBES", "IOBES", {{"IOBES", "BS", kAny}}, {{"BI", "IE", kSame}}, {{"SE", "IOBES", kAny}}};
  return scheme == TagScheme::kIob1 ? iob1 : scheme == TagScheme::kIob2 ? iob2 : iobes;
}

std::vector<Entity> find_strictly(std::span<const std::string> texts, const Scheme& scheme) {
  std::vector<Tag> tags;
  for (const std::string& text : texts) {
    tags.push_back(parse_tag(text, true));
    check(one_of(tags.back().prefix, scheme.prefixes), "the tag '", text, "' does not begin with one of ", scheme.prefixes,
          ", as the scheme ", scheme.name, " wants");
  }
  tags.push_back({});
  std::vector<Entity> entities;
  for (size_t i = 0; i < tags.size();) {
    if (!any_holds(scheme.start, i > 0 ? tags[i - 1] : Tag{}, tags[i])) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    while (end < tags.size() && any_holds(scheme.inside, tags[end - 1], tags[end])) ++end;
    if (any_holds(scheme.end, tags[end - 1], tags[end]))
      entities.push_back({std::string(tags[i].type), static_cast<int64_t>(i), static_cast<int64_t>(end)});
    i = end;
  }
  return entities;
}

}  // namespace

TagScheme parse_tag_scheme(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name == "lenient") return TagScheme::kLenient;
  if (name == "iob1") return TagScheme::kIob1;
  if (name == "iob2" || name == "bio") return TagScheme::kIob2;
  if (name == "iobes" || name == "bioes") return TagScheme::kIobes;
  fail(ExitCode::kUsage, "unknown tag scheme '", name, "'; known are: lenient, IOB1, IOB2, IOBES (BIOES)");
}

std::vector<Entity> find_entities(std::span<const std::string> tags, TagScheme scheme) {
  return scheme == TagScheme::kLenient ? find_leniently(tags) : find_strictly(tags, scheme_rules(scheme));
}

void EntityCounts::add(std::span<const std::string> actual, std::span<const std::string> predicted) {
  check_internal(actual.size() == predicted.size(), "a sentence has ", actual.size(), " tags and ", predicted.size(),
                 " predictions");
  for (size_t i = 0; i < actual.size(); ++i) right_ += actual[i] == predicted[i];
  tokens_ += static_cast<int64_t>(actual.size());

  std::vector<Entity> are = find_entities(actual, scheme_), said = find_entities(predicted, scheme_);
  for (const Entity& entity : are) ++types_[entity.type].actual;
  for (const Entity& entity : said) ++types_[entity.type].predicted;
  std::sort(are.begin(), are.end());
  std::sort(said.begin(), said.end());
  std::vector<Entity> both;
  std::set_intersection(are.begin(), are.end(), said.begin(), said.end(), std::back_inserter(both));
  for (const Entity& entity : both) ++types_[entity.type].true_positives;
}

PrecisionRecallF1 EntityCounts::overall() const {
  Counts sum;
  for (const auto& [type, counts] : types_) {
    sum.true_positives += counts.true_positives;
    sum.predicted += counts.predicted;
    sum.actual += counts.actual;
  }
  return precision_recall_f1(sum.true_positives, sum.predicted, sum.actual);
}

std::map<std::string, PrecisionRecallF1> EntityCounts::by_type() const {
  std::map<std::string, PrecisionRecallF1> out;
  for (const auto& [type, counts] : types_)
    out[type] = precision_recall_f1(counts.true_positives, counts.predicted, counts.actual);
  return out;
}

int64_t EntityCounts::number(const std::string& type) const {
  const auto found = types_.find(type);
  return found == types_.end() ? 0 : found->second.actual;
}

double EntityCounts::accuracy() const {
  if (tokens_ == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(right_) / static_cast<double>(tokens_);
}

}  // namespace berth::train
