#include <CLI/CLI.hpp>
#include <algorithm>

#include "data/check.h"
#include "data/words.h"
#include "launcher/option_names.h"
#include "launcher/option_parser.h"

namespace berth::launch {
namespace {

std::string type_of(const std::vector<std::string>& choices) { return "{" + joined(choices, "|") + "}"; }

// What `set` says of `given`, and the nearest choice.
template <class Given>
void set_or_hint(const std::function<void(const Given&)>& set, const Given& given, const std::string& word,
                 const std::vector<std::string>& choices) {
  try {
    set(given);
  } catch (const Error& error) {
    fail(error.code(), error.what(), did_you_mean(word, choices));
  }
}

}  // namespace

CLI::Option* Parser::add_choice(const std::string& names, const std::string& shown, const std::vector<std::string>& choices,
                                const std::string& help, const std::function<void(const std::string&)>& set) {
  return add_named(names, shown, help, [=](const std::string& given) { set_or_hint(set, given, given, choices); })
      ->type_name(type_of(choices));
}

CLI::Option* Parser::add_choices(const std::string& names, const std::vector<std::string>& choices, const std::string& help,
                                 const std::function<void(const std::vector<std::string>&)>& set) {
  const auto set_all = [=](const std::vector<std::string>& given) {
    const auto unknown = std::find_if(given.begin(), given.end(), [&](const auto& word) {
      return std::find(choices.begin(), choices.end(), word) == choices.end();
    });
    set_or_hint(set, given, unknown == given.end() ? "" : *unknown, choices);
  };
  return add_named_list(names, help, set_all)->type_name(type_of(choices));
}

void add_device(Parser& p, DeviceOptions& o) {
  p.group("Device");
  p.add("--device", o.device, "where to compute; auto: on GPUs where the job was given some; cuda:N: on that one")
      ->type_name("{auto|cpu|cuda}");
  p.add("--threads", o.threads, "threads of each rank; 0: OMP_NUM_THREADS, or its share of the cores");
  p.add("--ddp-timeout", o.timeout,
        "seconds until a collective that does not finish ends the job, naming the ranks that are missing");
}

void add_reader(Parser& p, data::ReaderOptions& o) {
  p.group("Input files");
  p.add_choice("--format,--input-format", "auto", {"auto", "csv", "tsv", "jsonl", "conll", "text"},
               "of the files; auto: by the name's ending, else by the first line",
               [&o](const std::string& name) { o.format = data::find_format(name); });
  p.add_choice("--encoding", "utf8", {"utf8", "latin1"}, "of the files", [&o](const std::string& name) {
    check_usage(name == "utf8" || name == "utf-8" || name == "latin1", "--encoding ", name, " is not known; use utf8 or latin1");
    o.encoding = name == "latin1" ? data::TextEncoding::kLatin1 : data::TextEncoding::kUtf8;
  });
  p.add("--no-header", o.no_header, "the first row of a CSV or TSV is an example; columns are named by number, from 0");
  p.add_list("--column-names", o.column_names, "names of the columns of a CSV or TSV without a header, separated by commas");
  p.add("--text-column,--text-column-name", o.columns.text,
        "column of the text, or several to join: title,body; default: guessed")
      ->type_name("COLUMN");
  p.add("--text-pair-column,--text-pair-column-name", o.columns.text_pair,
        "column of the second text of a pair; default: guessed")
      ->type_name("COLUMN");
  p.add("--choice-columns", o.columns.choices,
        "multiple choice: columns of the choices, separated by commas, or the key of a list of them; default: guessed")
      ->type_name("COLUMN,…");
}

void add_masks(Parser& p, data::MaskOptions& o) {
  p.group("Language models");
  p.add("--mlm-probability", o.probability,
        "share of the tokens that are masked: 80 % by [MASK], 10 % by a random token, 10 % kept");
  p.add("--whole-word-mask", o.whole_words, "mask all WordPieces of a word, always by [MASK]");
}

void add_thresholds(Parser& p, train::PredictionOptions& o) {
  p.add_list("--thresholds", o.thresholds,
             "multi-label: the probability above which a label holds: a number, or label=number,…; default: 0.5")
      ->type_name("NUMBER");
}

void add_decisions(Parser& p, train::PredictionOptions& o) {
  p.group("Metrics");
  add_thresholds(p, o);
  p.add("--return-entity-level-metrics", o.each_entity_type,
        "token classification: also precision, recall, f1 and number of each entity type");
  p.add_choice("--seqeval-scheme", "lenient", {"lenient", "IOB1", "IOB2", "IOBES"},
               "token classification: what an entity is: lenient (conlleval's rules, seqeval's default), or strictly by a scheme "
               "(IOBES is "
               "BIOES)",
               [&o](const std::string& name) { o.tag_scheme = train::parse_tag_scheme(name); });
}

void add_answers(Parser& p, train::SpanOptions& o) {
  p.group("Question answering");
  p.add("--n-best-size", o.n_best_size, "candidates for the start, the end and the answer");
  p.add("--max-answer-length", o.max_answer_length, "tokens");
  p.add("--version-2-with-negative", o.version_2_with_negative, "questions may have no answer, as in SQuAD 2.0");
  p.add("--null-score-diff-threshold", o.null_score_diff_threshold,
        "no answer is the answer if its score exceeds the best one's by more than this");
}

void add_precision(Parser& p, train::PrecisionOptions& o) {
  p.add("--bf16", o.bf16, "activations and matrix products in bfloat16; parameters stay in fp32");
  p.add("--fp16", o.fp16, "the same in half precision, training with dynamic loss scaling; GPUs only");
  p.add("--tf32", o.tf32, "GPUs may round the factors of fp32 products to TF32, else these are of full precision");
}

}  // namespace berth::launch
