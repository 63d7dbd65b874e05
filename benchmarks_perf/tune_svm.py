"""The classical peer of BANKING77: TF-IDF of word 1-2-grams and character 2-5-grams, a linear SVM.

Run by the Python of `make peers`, whose lm-evaluation-harness brings scikit-learn. Reads {"train", "test"} as JSON
lists of [text, label] from stdin, writes the share of test rows it labels rightly.
"""

import json
import sys

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

asked = json.load(sys.stdin)
words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
model = make_pipeline(make_union(words, characters), LinearSVC())
model.fit(*zip(*asked["train"], strict=True))
print(round(float(model.score(*zip(*asked["test"], strict=True))), 4))
