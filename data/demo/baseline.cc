// demo_baseline TRAIN.csv TEST.csv: trains the bag-of-words baseline on the one and prints its accuracy on the other.
#include <cstdio>

#include "data/check.h"
#include "data/demo/bag_of_words.h"

int main(int argc, char** argv) {
  using namespace berth;
  try {
    check_usage(argc == 3, "usage: demo_baseline TRAIN.csv TEST.csv");
    const demo::BagOfWords model(demo::read_reviews(argv[1]));
    const std::vector<demo::Review> test = demo::read_reviews(argv[2]);
    check(!test.empty(), argv[2], " holds no reviews");
    std::printf("bag of words (naive Bayes, unigrams and bigrams): accuracy %.4f on %zu reviews\n", model.accuracy(test),
                test.size());
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "demo_baseline: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
