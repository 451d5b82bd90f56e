#include <gtest/gtest.h>

#include "data/readers/delimited.h"
#include "data/readers/reader.h"
#include "tests/data/dataset_file.h"

namespace berth::data {
namespace {

using namespace testing;
using Rows = std::vector<std::vector<std::string>>;

Rows rows_of(const TempDir& folder, std::string_view bytes, Dialect dialect) {
  DelimitedRows reader(write_bytes(folder / "rows", bytes), dialect);
  Rows rows;
  for (std::vector<std::string> fields; reader.next(fields);) rows.push_back(fields);
  return rows;
}

TEST(Csv, FollowsRfc4180) {
  const TempDir folder;
  const struct {
    std::string_view bytes;
    Rows rows;
  } cases[] = {
      {"a,b\n1,2\n", {{"a", "b"}, {"1", "2"}}},
      {"a,b\r\n1,2\r\n", {{"a", "b"}, {"1", "2"}}},
      {"a,b\n1,2", {{"a", "b"}, {"1", "2"}}},
      {"\xEF\xBB\xBF"
       "a,b\n",
       {{"a", "b"}}},
      {"\xEF\xBB\xBF\"a\",b\n", {{"a", "b"}}},
      {",\n,x\ny,\n", {{"", ""}, {"", "x"}, {"y", ""}}},
      {"\"a,b\",c\n", {{"a,b", "c"}}},
      {"\"say \"\"hi\"\"\",c\n", {{"say \"hi\"", "c"}}},
      {"\"\"\"\",\"\"\n", {{"\"", ""}}},
      {"\"two\nlines\",x\n\"a\r\nb\",y\r\n", {{"two\nlines", "x"}, {"a\r\nb", "y"}}},
      {"a \"plain\" quote,b\n", {{"a \"plain\" quote", "b"}}},
      {"a\rb,c\n", {{"a\rb", "c"}}},
      {"a,b\n\n\r\n1,2\n\n", {{"a", "b"}, {"1", "2"}}},
      {"\"\"\n", {{""}}},
      {"\"a\"", {{"a"}}},
      {" \"a\",b\n", {{" \"a\"", "b"}}},
  };
  for (const auto& [bytes, rows] : cases) EXPECT_EQ(rows_of(folder, bytes, Dialect::csv()), rows) << bytes;
}

TEST(Csv, ABlockBoundaryAnywhereChangesNothing) {
  const TempDir folder;
  const std::string row = "\"x \"\"y\"\"\r\nz\",plain\r\n";
  for (size_t shift = 0; shift < row.size() + 2; ++shift) {
    const std::string first(((size_t{1} << 20) - row.size() + shift) - 3, 'a');
    EXPECT_EQ(rows_of(folder, first + ",b\n" + row, Dialect::csv()), (Rows{{first, "b"}, {"x \"y\"\r\nz", "plain"}})) << shift;
  }
}

TEST(Tsv, QuotesArePlainCharacters) {
  const TempDir folder;
  EXPECT_EQ(rows_of(folder, "sentence\tlabel\n\" unclosed\t1\r\nit \"\"s , so\t0\n", Dialect::tsv()),
            (Rows{{"sentence", "label"}, {"\" unclosed", "1"}, {"it \"\"s , so", "0"}}));
}

struct Read {
  std::vector<std::string> texts, pairs, labels;
  std::vector<int64_t> rows;
  std::string columns;
};

Read read_all(const std::filesystem::path& path, const ReaderOptions& options = {}) {
  const auto reader = open_reader(path, options);
  Read read;
  read.columns = reader->columns();
  for (Record record; reader->next(record);) {
    read.texts.push_back(record.text);
    if (record.has_pair) read.pairs.push_back(record.text_pair);
    std::string labels;
    for (const std::string& label : record.labels) labels += (labels.empty() ? "" : "|") + label;
    read.labels.push_back(labels);
    read.rows.push_back(record.row);
  }
  EXPECT_EQ(reader->bytes_read(), reader->bytes_total());
  return read;
}

TEST(Csv, SemicolonsWhereTheHeaderHasThem) {
  const TempDir folder;
  const auto read = [&](std::string_view bytes) { return read_all(write_bytes(folder / "semi.csv", bytes)); };
  const Read semicolons = read("\"text\";label\n\"a;b\";x\nc, d;y\n");
  EXPECT_EQ(semicolons.texts, (std::vector<std::string>{"a;b", "c, d"}));
  EXPECT_EQ(semicolons.labels, (std::vector<std::string>{"x", "y"}));
  EXPECT_NE(semicolons.columns.find("separated by ;"), std::string::npos) << semicolons.columns;
  EXPECT_EQ(read("text,label\na;b,x\n").columns.find("separated by ;"), std::string::npos) << "a comma is one";
}

TEST(Readers, GuessAndNameColumns) {
  const TempDir folder;
  const struct {
    const char *file, *bytes;
    ReaderOptions options;
    const char *columns, *text, *pair, *label;
  } cases[] = {
      {"a.csv", "review,sentiment\nx,y\n", {}, "text: review, label: sentiment (guessed)", "x", "", "y"},
      {"b.csv", "Label,Text\ny,x\n", {}, "text: Text, label: Label (guessed)", "x", "", "y"},
      {"c.tsv",
       "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t2\t3\tx\tz\n",
       {},
       "text: #1 String, pair: #2 String, label: Quality (guessed)",
       "x",
       "z",
       "1"},
      {"d.tsv",
       "index\tquestion\tsentence\tlabel\n0\tx\tz\ty\n",
       {},
       "text: question, pair: sentence, label: label (guessed)",
       "x",
       "z",
       "y"},
      {"e.csv",
       "repo,label,title,body\nr,y,x,b\n",
       {.columns = {.text = "title,body"}},
       "text: title + body, label: label (guessed)",
       "x b",
       "",
       "y"},
      {"f.csv",
       "p,q,r\ny,x,z\n",
       {.columns = {.text = "q", .text_pair = "r", .label = "p"}},
       "text: q, pair: r, label: p",
       "x",
       "z",
       "y"},
      {"spam", "y\tx\n", {.columns = {.text = "1", .label = "0"}}, "text: 1, label: 0", "x", "", "y"},
      {"g.tsv", "text\tlabel\nx\ty\n", {.columns = {.text = "0", .label = "1"}}, "text: text, label: label", "x", "", "y"},
      {"h.tsv",
       "text\tlabel\n",
       {.no_header = true, .columns = {.text = "0", .label = "1"}},
       "text: 0, label: 1",
       "text",
       "",
       "label"},
      {"i.tsv", "y\tx\n", {.column_names = {"label", "text"}}, "text: text, label: label (guessed)", "x", "", "y"},
      {"j.csv", "text\nx\n", {.need_label = false}, "text: text", "x", "", ""},
      {"k.jsonl", "{\"text\":\"x\",\"label\":\"y\"}\n", {}, "text: text, label: label (guessed)", "x", "", "y"},
      {"l.jsonl",
       "\n{\"premise\":\"x\",\"hypothesis\":\"\",\"label\":2}\n",
       {},
       "text: premise, pair: hypothesis, label: label (guessed)",
       "x",
       "",
       "2"},
      {"m.json", "{\"text\":\"x\",\"labels\":[\"a\",3,true]}", {}, "text: text, label: labels (guessed)", "x", "", "a|3|true"},
      {"n.jsonl", "{\"text\":\"x\",\"label\":null}", {.need_label = false}, "text: text, label: label (guessed)", "x", "", ""},
      {"o", "{\"text\":\"\\u00e9\\ud83d\\ude00\",\"score\":4.5}", {}, "text: text, label: score (guessed)", "é😀", "", "4.5"},
      {"p.csv", "text,label\n\xE9,y\n", {.encoding = TextEncoding::kLatin1}, "text: text, label: label (guessed)", "é", "", "y"},
      {"q.jsonl",
       "{\"text\":\"\xE9\",\"label\":\"y\"}",
       {.encoding = TextEncoding::kLatin1},
       "text: text, label: label (guessed)",
       "é",
       "",
       "y"},
  };
  for (const auto& [file, bytes, options, columns, text, pair, label] : cases) {
    const Read read = read_all(write_bytes(folder / file, bytes), options);
    EXPECT_EQ(read.columns, columns) << file;
    ASSERT_EQ(read.texts.size(), 1u) << file;
    EXPECT_EQ(read.texts[0], text) << file;
    EXPECT_EQ(read.pairs.empty() ? "" : read.pairs[0], pair) << file;
    EXPECT_EQ(read.labels[0], label) << file;
  }
}

TEST(Columns, ACallIsARole) {
  const ColumnOptions usual{.text = "review", .label = "stars"};
  const ColumnOptions called = columns_called(usual, {"text=title", "text_pair=b=c", "text=body"});
  EXPECT_EQ(called.text + "|" + called.text_pair + "|" + called.label, "title,body|b=c|stars");
  for (const char* wrong : {"body", "text=", "=body", "texts=body"})
    EXPECT_NE(error_of([&] { columns_called(usual, {wrong}); }).find(wrong), std::string::npos);
}

std::string fields_of(const std::filesystem::path& path, ReaderOptions options = {}) {
  options.keep_fields = true;
  std::string told;
  Record record;
  open_reader(path, options)->next(record);
  for (const Field& field : record.fields) told += field.name + (field.text ? "* " : " ") + field.json + "; ";
  return told;
}

TEST(Readers, KeepAWholeRow) {
  const TempDir folder;
  EXPECT_EQ(fields_of(write_bytes(folder / "a.csv", ",title,body,label,\n0,\"x \"\"y\"\"\",\xE9,1,\n"),
                      {.encoding = TextEncoding::kLatin1, .columns = {.text = "title,body"}}),
            R"( "0"; title* "x \"y\""; body* "é"; label "1";  ""; )");
  EXPECT_EQ(fields_of(write_bytes(folder / "a.jsonl",
                                  R"({"premise":"x","id":7,"hypothesis":"z","label":null,"more":{"b":[1],"a":2.5}})"),
                      {.need_label = false}),
            R"(premise* "x"; id 7; hypothesis* "z"; label null; more {"b":[1],"a":2.5}; )");
  const auto path = write_bytes(folder / "b.csv", "text,label,by\na,1,\xFF\n");
  EXPECT_EQ(read_all(path).texts.size(), 1u) << "what is not kept may be anything";
  EXPECT_NE(error_of([&] { fields_of(path); }).find("column 'by': byte 1"), std::string::npos);
}

TEST(Readers, ANulInATextIsKeptForTheTokenizerToDrop) {
  using namespace std::string_view_literals;
  const TempDir folder;
  EXPECT_EQ(read_all(write_bytes(folder / "a.csv", "text,label\na\0b,x\n"sv)).texts[0], "a\0b"sv);
  EXPECT_EQ(read_all(write_bytes(folder / "a.jsonl", "{\"text\":\"a\\u0000b\",\"label\":1}")).texts[0], "a\0b"sv);
}

using Words = std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>>;

Words words_of(const std::filesystem::path& path, ReaderOptions options = {}) {
  options.kind = RecordKind::kWords;
  const auto reader = open_reader(path, options);
  Words words;
  for (Record record; reader->next(record);) {
    EXPECT_EQ(record.row, static_cast<int64_t>(words.size()) + 1);
    words.emplace_back(record.words, record.tags);
  }
  return words;
}

TEST(Readers, WordsAndTags) {
  const TempDir folder;
  const Words expected{{{"EU", "rejects"}, {"B-ORG", "O"}}, {{"Peter"}, {"B-PER"}}};
  const struct {
    const char *file, *bytes;
    ReaderOptions options;
  } cases[] = {
      {"a.txt",
       "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n-DOCSTART- -X- -X- O\n\nPeter NNP B-NP B-PER\n",
       {}},
      {"b.conll", "EU\tB-ORG\r\nrejects\tO\r\n\r\n\r\nPeter\tB-PER", {}},
      {"c.tsv", "\nO EU B-ORG\nO rejects O\n \nO Peter B-PER\n\n", {.columns = {.text = "1", .label = "2"}}},
      {"d.jsonl",
       "{\"tokens\":[\"EU\",\"rejects\"],\"ner_tags\":[\"B-ORG\",\"O\"]}\n{\"tokens\":[\"Peter\"],\"ner_tags\":[\"B-PER\"]}",
       {}},
  };
  for (const auto& [file, bytes, options] : cases)
    EXPECT_EQ(words_of(write_bytes(folder / file, bytes), options), expected) << file;
  EXPECT_EQ(words_of(write_bytes(folder / "e.txt", "EU\n\nPeter\n"), {.need_label = false}),
            (Words{{{"EU"}, {}}, {{"Peter"}, {}}}));
  std::filesystem::create_directory(folder / "atis");
  write_bytes(folder / "atis/seq.in", "EU rejects\nPeter\n");
  write_bytes(folder / "atis/seq.out", "B-ORG O\nB-PER\n");
  write_bytes(folder / "atis/label", "no\nwho\n");
  EXPECT_EQ(words_of(folder / "atis"), expected);
  const Read intents = read_all(folder / "atis");
  EXPECT_EQ(intents.texts, (std::vector<std::string>{"EU rejects", "Peter"}));
  EXPECT_EQ(intents.labels, (std::vector<std::string>{"no", "who"}));
}

TEST(Readers, SayWhatIsWrongWithWordsAndTags) {
  const TempDir folder;
  const struct {
    const char *file, *bytes, *says;
  } cases[] = {
      {"a.txt", "EU O\nrejects\n", "line 2: the line has 1 columns instead of 2"},
      {"b.txt", "EU\nrejects\n", "one column, expected words and tags"},
      {"c.txt", "\n\n", "holds no words"},
      {"d.txt", "EU O\n\xFF O\n", "line 2: byte 1 of the text"},
      {"e.jsonl", "{\"tokens\":[\"a\"],\"tags\":[\"O\",\"O\"]}", "row 1 (line 1): there are 1 words and 2 tags"},
      {"f.jsonl", "{\"tokens\":\"a\",\"tags\":[\"O\"]}", "'tokens' is of type string, expected a list"},
      {"g.jsonl", "{\"text\":\"a\",\"tags\":[\"O\"]}", "The 2 columns are: tags, text"},
      {"h.csv", "tokens,tags\n", "are read from CoNLL files, JSON Lines and folders"},
  };
  for (const auto& [file, bytes, says] : cases) {
    const auto path = write_bytes(folder / file, bytes);
    const std::string error = error_of([&] { words_of(path); });
    EXPECT_NE(error.find(says), std::string::npos) << file << ": " << error;
    EXPECT_TRUE(error.starts_with(path.string())) << error;
  }
  write_bytes(folder / "seq.in", "a b\nc\n");
  write_bytes(folder / "seq.out", "O O\n");
  EXPECT_NE(error_of([&] { words_of(folder.path()); }).find("row 2: seq.out has fewer lines"), std::string::npos);
  write_bytes(folder / "seq.out", "O O\nO O\n");
  EXPECT_NE(error_of([&] { words_of(folder.path()); }).find("row 2: there are 1 words and 2 tags"), std::string::npos);
}

TEST(Readers, PlainLines) {
  const TempDir folder;
  const Read read = read_all(write_bytes(folder / "a.txt",
                                         "\xEF\xBB\xBF"
                                         "one \"line\"\r\n\n  \ntwo, here"),
                             {.need_label = false});
  EXPECT_EQ(read.texts, (std::vector<std::string>{"one \"line\"", "two, here"}));
  EXPECT_EQ(read.rows, (std::vector<int64_t>{1, 2}));
}

TEST(Readers, RowsAreCountedWithoutHeaderAndBlankLines) {
  const TempDir folder;
  EXPECT_EQ(read_all(write_bytes(folder / "a.csv", "text,label\n\"a\nb\",x\n\n\nc,y\n")).rows, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(read_all(write_bytes(folder / "a.jsonl", "{\"text\":\"a\",\"label\":1}\n\n{\"text\":\"b\",\"label\":1}\n")).rows,
            (std::vector<int64_t>{1, 2}));
}

TEST(Readers, SayWhatIsWrongAndWhere) {
  const TempDir folder;
  using namespace std::string_view_literals;
  const struct {
    const char* file;
    std::string_view bytes;
    ReaderOptions options;
    const char* says;
  } cases[] = {
      {"a.csv", "", {}, "the file is empty"},
      {"b.csv", "\xEF\xBB\xBF", {}, "the file is empty"},
      {"c.csv", "\n\n", {}, "holds no rows"},
      {"d.csv", "text,label\na,b\nc\n", {}, "row 2 (line 3): the row has 1 fields instead of 2"},
      {"e.csv", "text,label\n\"a\nb\",c,d\n", {}, "row 1 (line 2): the row has 3 fields"},
      {"f.csv", "text,label\n\"a,b\nc,d\n", {}, "line 4: the quote opened on line 2 is never closed"},
      {"g.csv", "text,label\n\"a\"b,c\n", {}, "line 2: text after a closing quote"},
      {"h.csv", "t\0e\0x\0t\0"sv, {}, "starts with NUL bytes"},
      {"i.csv", "\xFF\xFEt\0e\0"sv, {}, "is UTF-16"},
      {"j.csv", "text,label\nok,1\na\xFF,2\n", {}, "row 2 (line 3): column 'text': byte 2 of the text (0xFF) is not UTF-8"},
      {"k.csv", "text,label\n\xED\xA0\x80,2\n", {}, "row 1 (line 2): column 'text': byte 1"},
      {"l.csv", "text,kind\na,b\n", {}, "no column with a usual name for the label"},
      {"m.csv", "a,b\nc,d\n", {}, "The 2 columns are: a, b"},
      {"n.csv",
       "text,label\na,b\n",
       {.columns = {.text = "body"}},
       "there is no column 'body' (--text-column); the 2 columns are: text, label"},
      {"n2.csv", "text,label\na,b\n", {.columns = {.label = "text"}}, "column 'text' cannot be the text and the label"},
      {"o.csv", "text,text,label\na,b,c\n", {.columns = {.text = "text"}}, "2 columns are called 'text'"},
      {"p.csv", "text,label\na,\n", {}, "row 1 (line 2): the label (column 'label') is empty"},
      {"q.csv", "a,b,c\n", {.column_names = {"text", "label"}}, "2 column names are given, the first row has 3 fields"},
      {"r.tsv", "ham\thello\n", {.no_header = true}, "name it (--text-column)"},
      {"s.tsv", "ham\thello\n", {.no_header = true, .columns = {.text = "2"}}, "there is no column '2'"},
      {"t.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":\n", {}, "row 2 (line 2): not valid JSON"},
      {"u.jsonl", "[{\"text\":\"a\"}]\n", {}, "line 1: a JSON array; expected one JSON object per line"},
      {"v.jsonl", "{\"text\":\"\\ud800\",\"label\":1}\n", {}, "line 1: not valid JSON"},
      {"w.jsonl", "{\"text\":\"a\xFF\",\"label\":1}\n", {}, "line 1: not valid JSON"},
      {"x.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"label\":1}\n", {}, "row 2 (line 2): the key 'text' is missing"},
      {"y.jsonl", "{\"text\":7,\"label\":1}\n", {}, "'text' is of type number, expected a string"},
      {"z.jsonl", "{\"text\":\"a\",\"label\":{}}\n", {}, "the label 'label' is of type object"},
      {"za.jsonl", "{\"text\":\"a\",\"label\":null}\n", {}, "the label 'label' is missing"},
      {"zb", "hello\n", {}, "neither name nor first line tells the format"},
      {"zc.csv",
       "good film,pos\nbad film,neg\n",
       {},
       "The 2 columns are: good film, pos (or is the first row no header? --column-names"},
      {"zd.json", "[\n  {\"text\": \"a\"}\n]\n", {}, "a JSON document over several lines"},
      {"ze.json", "{\n  \"text\": \"a\"\n}\n", {}, "a JSON document over several lines"},
      {"zf.json",
       "{\"train\": [[\"hi\", \"greet\"]]}\n",
       {},
       "'train' holds a list of rows: jq -c '.train[] | {text: .[0], label: .[1]}'"},
      {"zg.json", "{\"data\": [{\"text\": \"a\"}]}\n", {}, "'data' holds a list of rows: jq -c '.data[]' makes"},
      {"zh.csv.gz", "\x1F\x8B\x08", {}, "is compressed by gzip"},
      {"zi.xlsx", "PK\x03\x04...", {}, "is an Excel workbook"},
      {"zj.parquet", "PAR1\x15", {}, "is a Parquet file"},
      {"zk.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:12\n", {}, "is a pointer of Git LFS"},
      {"zl.csv", "\x89HDF\r\n\x1A\n", {}, "what berth prepare wrote is for --data"},
  };
  for (const auto& [file, bytes, options, says] : cases) {
    const auto path = write_bytes(folder / file, bytes);
    const std::string error = error_of([&] { read_all(path, options); });
    EXPECT_NE(error.find(says), std::string::npos) << file << ": " << error;
    EXPECT_TRUE(error.starts_with(path.string())) << error;
  }
  EXPECT_NE(error_of([&] { read_all(folder / "missing.csv"); }).find("no such file"), std::string::npos);
  EXPECT_NE(error_of([&] { read_all(folder.path(), {.format = FileFormat::kCsv}); }).find("a folder"), std::string::npos);
}

TEST(Readers, AnEndlessRowIsRefusedBeforeItFillsTheMemory) {
  const TempDir folder;
  const std::string filler(kMaxRecordBytes + (size_t{2} << 20), 'x');
  for (const char* file : {"a.csv", "a.tsv", "a.jsonl"}) {
    const auto path = write_bytes(folder / file, filler);
    EXPECT_NE(error_of([&] { read_all(path); }).find("is longer than 64 MiB"), std::string::npos) << file;
  }
  EXPECT_NE(error_of([&] { read_all(write_bytes(folder / "wide.csv", std::string(70000, ','))); }).find("more than 65536 fields"),
            std::string::npos);
  const auto path = write_bytes(folder / "b.csv", "text,label\n\"" + filler);
  EXPECT_NE(error_of([&] { read_all(path); }).find("the quote opened on line 2 is never closed"), std::string::npos);
}

}  // namespace
}  // namespace berth::data
