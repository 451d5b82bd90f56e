// A tiny model and a data set of each task, for jobs of the GPU program on the stand-ins.
#pragma once

#include <array>
#include <cstdlib>
#include <fstream>

#include "tests/support/tiny_job.h"

namespace berth::test {

inline constexpr const char* kTasks[] = {"data",   "documents", "choices", "next", "regression",
                                         "topics", "ner",       "qa",      "mlm",  "pretraining"};

// <task>.h5 for each of kTasks, and model/.
class StandinJob : public TinyJob {
 protected:
  static constexpr const char* kOptions =
      "--global-batch-size 12 --save-strategy no --ignore-mismatched-sizes --max-steps 8 "
      "--ddp-bucket-cap-mb 0.02 ";  // several buckets, reduced while backward goes on

  // Two samples a step and targets of up to 2.5: times the first scale, 65536, the gradient of the outputs is beyond fp16.
  static constexpr const char* kOverflowing =
      "--fp16 --global-batch-size 2 --ignore-mismatched-sizes --ddp-bucket-cap-mb 0.02 --max-steps 12 --save-steps 5 ";

  static void SetUpTestSuite() {
    ASSERT_NE(std::getenv("BERTH_PROGRAM"), nullptr) << "run by ctest, which says what the GPU program is";
    TinyJob::SetUpTestSuite();
    write_tiny_questions(at("questions.json"), 60);
    write_tiny_choices(at("choices.csv"), 60, 3);
    std::ofstream next(at("next.csv")), numbers(at("numbers.csv")), topics(at("topics.csv")), words(at("words.conll")),
        documents(at("documents.txt"));
    next << "text,text_pair,label\n";
    numbers << "text,label\n";
    topics << "text,labels\n";
    for (int i = 0; i < 120; ++i) {
      const std::string text = i % 3 == 0 ? "ban bas" : i % 3 == 1 ? "tus tut dan" : "den";
      next << text << ",ban tus," << i % 3 % 2 << "\n";
      numbers << text << "," << i % 3 << ".5\n";
      topics << text << (i % 3 == 0 ? ",sun; sea\n" : i % 3 == 1 ? ",snow\n" : ",\n");
      words << "tus O\nban B-PER\n" << (i % 3 == 0 ? "fan I-PER\n" : "dan B-LOC\ntus O\n") << "\n";
      documents << text << " " << text << (i % 10 == 9 ? "\n\n" : "\n");
    }
    for (std::ofstream* file : {&next, &numbers, &topics, &words, &documents}) file->close();
    for (const auto& [name, task, file, options] :
         {std::array{"documents", "classification", "train.csv", "--max-length 12 --doc-stride 4"},
          std::array{"choices", "multiple-choice", "choices.csv", ""}, std::array{"next", "nsp", "next.csv", ""},
          std::array{"regression", "regression", "numbers.csv", ""},
          std::array{"topics", "multi-label", "topics.csv", "--label-separator \";\""},
          std::array{"ner", "ner", "words.conll", ""}, std::array{"qa", "qa", "questions.json", "--doc-stride 16"},
          std::array{"mlm", "mlm", "train.csv", ""}, std::array{"pretraining", "pretraining", "documents.txt", ""}}) {
      const JobResult result = run_berth(std::string("prepare --task ") + task + " --train-file " + at(file) + " --tokenizer " +
                                         at("model") + " --max-length 32 --output " + at(std::string(name) + ".h5 ") + options);
      ASSERT_EQ(result.exit_code, 0) << result.err;
    }
  }
};

}  // namespace berth::test
