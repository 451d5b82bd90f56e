// Metrics of token classification: entities, counted right if type, begin and end are. Equal to seqeval's.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "trainer/metrics/classification.h"

namespace berth::train {

enum class TagScheme {
  // The rules of the conlleval script, which make something of any sequence of B-, I-, E-, S- and O: seqeval's default mode.
  kLenient,
  // seqeval's strict mode: only sequences that the scheme allows are entities.
  kIob1,  // B- only between adjacent entities of one type
  kIob2,  // each entity begins with B-
  kIobes  // begin, inside, end, single (BIOES)
};

// "lenient", "IOB1", "IOB2" or "IOBES" (or "BIO", "BIOES"), in any case. Throws Error(kUsage).
TagScheme parse_tag_scheme(std::string name);

struct Entity {
  std::string type;                                 // "_" for a tag without one
  int64_t begin = 0, end = 0;                       // tokens [begin, end)
  auto operator<=>(const Entity&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 misreads it
};

// The entities of one sentence, in order. In a strict scheme, throws Error(kBadInput) naming a tag with a prefix that it does not
// have.
std::vector<Entity> find_entities(std::span<const std::string> tags, TagScheme scheme);

class EntityCounts {
 public:
  explicit EntityCounts(TagScheme scheme = TagScheme::kLenient) : scheme_(scheme) {}
  // One sentence; both have one tag a token. An empty tag counts as "O".
  void add(std::span<const std::string> actual, std::span<const std::string> predicted);

  PrecisionRecallF1 overall() const;                         // all types together
  std::map<std::string, PrecisionRecallF1> by_type() const;  // types that are in either
  int64_t number(const std::string& type) const;             // entities of the type in the labels
  double accuracy() const;                                   // of single tags; NaN without any

 private:
  struct Counts {
    int64_t true_positives = 0, predicted = 0, actual = 0;
  };
  TagScheme scheme_;
  std::map<std::string, Counts> types_;
  int64_t tokens_ = 0;
  int64_t right_ = 0;
};

}  // namespace berth::train
