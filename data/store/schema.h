// The layout of a prepared data set in HDF5: every name, type and attribute, and the version of it all. The writer and the reader
// share only this.
//
//   /                         attributes below
//   /train /validation /test  one group per split (those that exist), each with N samples of S sequences with T tokens in all:
//     input_ids  [T]          uint16 if vocab_size <= 65536, else int32; the sequences end to end, without padding
//     offsets    [S + 1]      int64; sequence s owns tokens [offsets[s], offsets[s + 1])
//     sequences  [N + 1]      int64; sample i owns sequences [sequences[i], sequences[i + 1]), at least one; absent if each sample is one
//     segment_b  [S]          int32; index within the sequence of segment B's first token, the sequence's length if it has one
//     rows       [N]          int64; row of the source file, 1-based, header not counted
//     augmented  [N]          uint8; an AugmentKind (0: the row as it is); absent if the split was not augmented
//     fold       [N]          uint8; the sample's fold, below the attribute `folds`; only of train, and only with that attribute
//     labels                  by the task's LabelShape:
//                               kClass      int32   [N]     class index; -100: not labelled (test split only)
//                               kFloat      float32 [N]     NaN: not labelled (test split only)
//                               kMultiHot   uint8   [N, L]  0 or 1; 255: not labelled (test split only)
//                               kTokenClass int32   [T]     class index or -100
//                               kSpan       int32   [N, 2]  first and last token of the answer within the sample; 0, 0: none;
//                                                   -100, -100: not labelled (test split only)
//                               kChoice     int32   [N]     index among the sample's sequences; -100: not labelled (test split only)
//                               kNextSentence int32 [N]     0 if segment B follows segment A in its document, else 1
//                               kNone       absent
//     For kSpan only, E questions, each cut into consecutive samples:
//     token_offsets [T, 2]    int32; code points [begin, end) that a token came from, of the question or of the context
//     question      [N]       int64; index of the sample's question, from 0 up
//     context       [E]       int64; index of the question's context, from 0 up
//     answer_ends   [E]       int64; how many answers the questions up to this one have
//     ids, contexts, answers  uint8; UTF-8, end to end: the ids of the E questions, their contexts (one that neighbours share
//     stands
//                             once), all answers' texts
//     ids_ends, contexts_ends, answers_ends  int64; where each of these texts ends
//
// Datasets are chunked, with Fletcher-32 checksums and without compression: a training batch reads 32 random samples, which would
// inflate 32 chunks. The file is written in the format of HDF5 1.10, whose metadata carry checksums too, so any flipped bit is
// found. No times are stored: equal input gives equal bytes.
#pragma once

#include <array>
#include <cstdint>

namespace berth::data::schema {

inline constexpr int kVersion = 4;                  // with folds; the newest that is read
inline constexpr int kSeveralSequencesVersion = 3;  // without, with samples of several sequences
inline constexpr int kOneSequenceVersion = 2;       // without these; 1 had no questions

// Attributes of the root group. Strings are fixed-size, null-padded UTF-8.
inline constexpr const char* kFormat = "format";                 // string, kFormatName
inline constexpr const char* kFormatName = "berth dataset";      //
inline constexpr const char* kSchemaVersion = "schema_version";  // int64
inline constexpr const char* kTask = "task";                     // string, TaskInfo::name
inline constexpr const char* kLabelNames = "label_names";        // string [L], absent if L == 0
inline constexpr const char* kMaxLength = "max_length";          // int64
inline constexpr const char* kVocabSha256 = "vocab_sha256";      // string, Vocab::sha256()
inline constexpr const char* kVocabSize = "vocab_size";          // int64
inline constexpr const char* kSourceFiles = "source_files";      // string [S]
inline constexpr const char* kSourceSha256 = "source_sha256";    // string [S]
inline constexpr const char* kDoLowerCase = "do_lower_case";     // int64, 0 or 1; absent in older files
inline constexpr const char* kNormalize = "normalize";           // string, NormalizeOptions::names(); absent if none
inline constexpr const char* kDocStride = "doc_stride";          // int64: tokens that the windows of a long text share, where
                                                                 // a sample's sequences are such windows; else absent
inline constexpr const char* kFolds = "folds";  // int64: how many the training split is cut into; absent if it is not
inline constexpr const char* kFoldsSha256 = "folds_sha256";      // string, beside it: SHA-256 of the samples' folds in order
inline constexpr const char* kContentSha256 = "content_sha256";  // string, of each split's group: SHA-256 of its samples' tokens,
                                                                 // segments and labels in order; absent in older files
inline constexpr const char* kTruncated = "truncated";  // int64, of each split's group: samples that were cut to max_length;
                                                        // absent in older files
inline constexpr const char* kCommand = "command";      // string

inline constexpr std::array<const char*, 3> kSplits{"train", "validation", "test"};

// Datasets of a split.
inline constexpr const char* kInputIds = "input_ids";
inline constexpr const char* kOffsets = "offsets";
inline constexpr const char* kSequences = "sequences";
inline constexpr const char* kSegmentB = "segment_b";
inline constexpr const char* kRows = "rows";
inline constexpr const char* kAugmented = "augmented";
inline constexpr const char* kFold = "fold";
inline constexpr const char* kLabels = "labels";
// Of a split of questions. Each list of texts has two: the bytes, and where each text ends (kEnds behind the name).
inline constexpr const char* kTokenOffsets = "token_offsets";
inline constexpr const char* kQuestion = "question";
inline constexpr const char* kContext = "context";
inline constexpr const char* kIds = "ids";
inline constexpr const char* kContexts = "contexts";
inline constexpr const char* kAnswers = "answers";
inline constexpr const char* kAnswerEnds = "answer_ends";
inline constexpr const char* kEnds = "_ends";

inline constexpr int32_t kNarrowVocab = 65536;  // up to this vocabulary size input_ids are uint16
inline constexpr uint64_t kChunkRows =
    4096;  // rows per chunk: 8 KiB of narrow input_ids, which is what reading one sample of a large split costs

}  // namespace berth::data::schema
