#include "trainer/checkpoint/hf_names.h"

namespace berth::train {
namespace {

enum class Where { kPrefix, kSuffix, kWhole };

struct Rule {
  Where where;
  std::string_view in_file, ours;
  bool redundant = false;
  std::string_view written_by = {};  // the architecture that saves under the name on the left
};

// Applied from top to bottom, each at most once (the wrappers as often as they match).
constexpr Rule kRules[] = {
    {Where::kPrefix, "module.", ""},     // torch's DataParallel and DistributedDataParallel
    {Where::kPrefix, "_orig_mod.", ""},  // torch.compile
    {Where::kSuffix, "LayerNorm.gamma", "LayerNorm.weight"},
    {Where::kSuffix, "LayerNorm.beta", "LayerNorm.bias"},
    {Where::kPrefix, "embeddings.", "bert.embeddings.", false, "BertModel"},
    {Where::kPrefix, "encoder.", "bert.encoder.", false, "BertModel"},
    {Where::kPrefix, "pooler.", "bert.pooler.", false, "BertModel"},
    {Where::kWhole, "cls.predictions.decoder.bias", "cls.predictions.bias", true},
    {Where::kWhole, "cls.predictions.decoder.weight", "cls.predictions.decoder.weight", true},
    {Where::kWhole, "bert.embeddings.position_ids", "bert.embeddings.position_ids", true},
    {Where::kWhole, "bert.embeddings.token_type_ids", "bert.embeddings.token_type_ids", true},
};

// Replaces `from` by `to` where the rule says; false if it does not apply.
bool replace(std::string& name, Where where, std::string_view from, std::string_view to) {
  const bool fits = where == Where::kPrefix   ? name.starts_with(from)
                    : where == Where::kSuffix ? name.ends_with(from)
                                              : name == from;
  if (fits) name.replace(where == Where::kSuffix ? name.size() - from.size() : 0, from.size(), to);
  return fits;
}

}  // namespace

CanonicalName canonical_name(std::string_view in_file) {
  CanonicalName result{std::string(in_file)};
  for (const Rule& rule : kRules) {
    bool applies = replace(result.name, rule.where, rule.in_file, rule.ours);
    result.redundant |= applies && rule.redundant;
    while (applies && rule.ours.empty()) applies = replace(result.name, rule.where, rule.in_file, rule.ours);
  }
  return result;
}

std::string name_in_file(std::string_view name, std::string_view architecture) {
  std::string result(name);
  for (const Rule& rule : kRules) {
    if (!rule.written_by.empty() && rule.written_by == architecture && replace(result, rule.where, rule.ours, rule.in_file))
      break;
  }
  return result;
}

}  // namespace berth::train
