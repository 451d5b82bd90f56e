// Writes the pages that page_check.py looks at into a folder, and prints their paths.
#include <iostream>

#include "data/files/files.h"
#include "tests/trainer/report/sample_pages.h"
#include "trainer/report/comparison.h"

int main(int, char** arguments) {
  using namespace berth;
  const std::filesystem::path folder = arguments[1];
  const auto write = [&](const char* name, const std::string& html) {
    data::write_durably(folder / name, html);
    std::cout << (folder / name).string() << "\n";
  };
  write("run.html", train::render_html(report_test::hostile_run()));
  write("many-classes.html", train::render_html(report_test::hostile_run(77)));
  write("runs.html", train::render_comparison(std::vector(10, report_test::hostile_run())));
  write("sweep.html", train::render_sweep(folder, report_test::sweep()));
}
