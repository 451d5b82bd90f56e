#include "trainer/checkpoint/hf_names.h"

namespace berth::train {
namespace {

enum class Where { kPrefix, kInside, kSuffix, kWhole };

struct Rule {
  Where where;
  std::string_view in_file, ours;
  bool redundant = false;
  // What the names of the classes begin with that save under the name on the left. Empty: of all of them, and none saves so.
  std::string_view of = {};
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

    {Where::kPrefix, "embeddings.", "bert.embeddings.", false, "DistilBertModel"},
    {Where::kPrefix, "transformer.", "bert.encoder.", false, "DistilBertModel"},
    {Where::kPrefix, "distilbert.embeddings.", "bert.embeddings.", false, "DistilBert"},
    {Where::kPrefix, "distilbert.transformer.", "bert.encoder.", false, "DistilBert"},
    {Where::kInside, ".attention.q_lin.", ".attention.self.query.", false, "DistilBert"},
    {Where::kInside, ".attention.k_lin.", ".attention.self.key.", false, "DistilBert"},
    {Where::kInside, ".attention.v_lin.", ".attention.self.value.", false, "DistilBert"},
    {Where::kInside, ".attention.out_lin.", ".attention.output.dense.", false, "DistilBert"},
    {Where::kInside, ".sa_layer_norm.", ".attention.output.LayerNorm.", false, "DistilBert"},
    {Where::kInside, ".ffn.lin1.", ".intermediate.dense.", false, "DistilBert"},
    {Where::kInside, ".ffn.lin2.", ".output.dense.", false, "DistilBert"},
    {Where::kInside, ".output_layer_norm.", ".output.LayerNorm.", false, "DistilBert"},
    {Where::kPrefix, "pre_classifier.", "bert.pooler.dense.", false, "DistilBert"},
    {Where::kPrefix, "vocab_transform.", "cls.predictions.transform.dense.", false, "DistilBert"},
    {Where::kPrefix, "vocab_layer_norm.", "cls.predictions.transform.LayerNorm.", false, "DistilBert"},
    {Where::kWhole, "vocab_projector.bias", "cls.predictions.bias", false, "DistilBert"},
    {Where::kWhole, "vocab_projector.weight", "cls.predictions.decoder.weight", true, "DistilBert"},

    {Where::kPrefix, "embeddings_project.", "bert.embeddings.project.", false, "ElectraModel"},
    {Where::kPrefix, "embeddings.", "bert.embeddings.", false, "ElectraModel"},
    {Where::kPrefix, "encoder.", "bert.encoder.", false, "ElectraModel"},
    {Where::kPrefix, "electra.embeddings_project.", "bert.embeddings.project.", false, "Electra"},
    {Where::kPrefix, "electra.embeddings.", "bert.embeddings.", false, "Electra"},
    {Where::kPrefix, "electra.encoder.", "bert.encoder.", false, "Electra"},
    {Where::kPrefix, "classifier.dense.", "bert.pooler.dense.", false, "Electra"},
    {Where::kPrefix, "generator_predictions.", "cls.predictions.transform.", false, "Electra"},
    {Where::kWhole, "generator_lm_head.bias", "cls.predictions.bias", false, "Electra"},
    {Where::kWhole, "generator_lm_head.weight", "cls.predictions.decoder.weight", true, "Electra"},

    {Where::kWhole, "cls.predictions.decoder.bias", "cls.predictions.bias", true},
    {Where::kWhole, "cls.predictions.decoder.weight", "cls.predictions.decoder.weight", true},
    {Where::kWhole, "bert.embeddings.position_ids", "bert.embeddings.position_ids", true},
    {Where::kWhole, "bert.embeddings.token_type_ids", "bert.embeddings.token_type_ids", true},
};

// Replaces `from` by `to` where the rule says; false if it does not apply.
bool replace(std::string& name, Where where, std::string_view from, std::string_view to) {
  const size_t at = where == Where::kInside   ? name.find(from)
                    : where == Where::kSuffix ? (name.ends_with(from) ? name.size() - from.size() : std::string::npos)
                    : where == Where::kPrefix ? (name.starts_with(from) ? 0 : std::string::npos)
                                              : (name == from ? 0 : std::string::npos);
  if (at != std::string::npos) name.replace(at, from.size(), to);
  return at != std::string::npos;
}

}  // namespace

CanonicalName canonical_name(std::string_view in_file, std::string_view family) {
  CanonicalName result{std::string(in_file)};
  for (const Rule& rule : kRules) {
    if (!rule.of.empty() && !rule.of.starts_with(family)) continue;
    bool applies = replace(result.name, rule.where, rule.in_file, rule.ours);
    result.redundant |= applies && rule.redundant;
    while (applies && rule.ours.empty()) applies = replace(result.name, rule.where, rule.in_file, rule.ours);
  }
  return result;
}

std::string name_in_file(std::string_view name, std::string_view architecture) {
  std::string result(name);
  for (const Rule& rule : kRules)
    if (!rule.of.empty() && architecture.starts_with(rule.of)) replace(result, rule.where, rule.ours, rule.in_file);
  return result;
}

}  // namespace berth::train
