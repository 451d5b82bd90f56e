// transformers' classes for models with a custom head (model/custom_head.h): kModelingFile, which is saved beside them. Python.
#pragma once

#include <string_view>

namespace berth::train {

inline constexpr std::string_view kModelingBerth =
    R"py("""BERT with a head of another form than transformers' own: its hidden states pooled, hidden layers, then the classifier. berth saved this file
with the model; AutoModelForSequenceClassification and AutoModelForTokenClassification take it with trust_remote_code=True.
"""
from torch import nn
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput


class BerthConfig(BertConfig):
    model_type = "berth"


class BerthModel(BertPreTrainedModel):
    """What both classes share. config.json says head_hidden_sizes, head_activation, head_dropout and pooling."""

    config_class = BerthConfig

    def __init__(self, config, pooling):
        super().__init__(config)
        self.num_labels, self.pooling = config.num_labels, pooling
        self.bert = BertModel(config, add_pooling_layer=pooling == "pooler")
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.dropout, self.head_dropout = nn.Dropout(dropout), nn.Dropout(config.head_dropout)
        self.activation = ACT2FN[config.head_activation]
        sizes = [config.hidden_size, *config.head_hidden_sizes]
        self.head = nn.ModuleList(nn.Linear(size, next_size) for size, next_size in zip(sizes, sizes[1:]))
        self.classifier = nn.Linear(sizes[-1], config.num_labels)
        self.post_init()

    def classify(self, rows):
        rows = self.dropout(rows)
        for layer in self.head:
            rows = self.head_dropout(self.activation(layer(rows)))
        return self.classifier(rows)


class BerthForSequenceClassification(BerthModel):
    def __init__(self, config):
        super().__init__(config, config.pooling)

    def pool(self, outputs, attention_mask):
        """A row a text. mean and max are over all tokens, [CLS] and [SEP] included."""
        hidden = outputs.last_hidden_state
        if self.pooling == "pooler":
            return outputs.pooler_output
        if self.pooling == "cls":
            return hidden[:, 0]
        mask = hidden.new_ones(hidden.shape[:2]) if attention_mask is None else attention_mask.to(hidden.dtype)
        if self.pooling == "max":
            return hidden.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).max(dim=1).values
        return (hidden * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, labels=None, **kwargs):
        outputs = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, position_ids=position_ids)
        logits = self.classify(self.pool(outputs, attention_mask))
        loss = None
        if labels is not None and self.config.problem_type == "regression":
            loss = nn.functional.mse_loss(logits.squeeze(), labels.squeeze())
        elif labels is not None and self.config.problem_type == "multi_label_classification":
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
        elif labels is not None:
            loss = nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class BerthForTokenClassification(BerthModel):
    def __init__(self, config):
        super().__init__(config, None)

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, labels=None, **kwargs):
        hidden = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, position_ids=position_ids).last_hidden_state
        logits = self.classify(hidden)
        loss = None if labels is None else nn.functional.cross_entropy(logits.view(-1, self.num_labels), labels.view(-1))
        return TokenClassifierOutput(loss=loss, logits=logits)
)py";

}  // namespace berth::train
