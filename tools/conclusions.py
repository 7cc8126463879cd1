"""The conclusions of Parts III and IV, each with what was measured, and what it does not show: the table of evidence.

`tools.evidence` makes docs/evidence.md of it. `measured` computes its text from the results under data/, and asserts
what the sentence says: `findings` (notebooks 08 to 10) and `beyond` (11 to 14).
"""

from collections.abc import Callable
from dataclasses import dataclass

from tools import beyond, findings


@dataclass(frozen=True)
class Conclusion:
    notebook: str
    says: str
    stands: str  # words of the notebook's text, code or output
    rests_on: str  # models, seeds, text
    measured: Callable[[], str]
    not_shown: str


CONCLUSIONS = (
    Conclusion(
        "08",
        "The share of right answers can fail to show what a file changed: one answer in nine",
        "five turned from right to wrong",
        "SmolLM2, 120 questions from 12 texts, drawn by text",
        findings.flips,
        "A model that is surer of its answers, and weights that were not rounded to Q4_1 before, as these had been.",
    ),
    Conclusion(
        "09",
        "What looks like the limit of 2 bits is mostly the choice of a scale; most of the rest can be trained away",
        "And 2 bits are no ruin after all",
        "3 tiny models, symmetric, one scale for each row",
        findings.two_bits,
        "Models of 100,080 parameters, trained from large first weights without decay, in one format.",
    ),
    Conclusion(
        "09",
        "Within one format, GPTQ on a clipped grid beats every other method that does not train, at 2 and 3 bits",
        "At 2 bits the order is the same in all four formats",
        "3 tiny and 3 small models, 4 formats",
        findings.equal_terms,
        "4 bits on the small models, where all are within thousandths; models with outliers, where AWQ leads.",
    ),
    Conclusion(
        "09",
        "GPTQ on symmetric against HQQ on affine codes compares formats: with affine codes for both, GPTQ leads",
        "The ranking turns",
        "3 tiny models, 3 bits, one grid for each row",
        findings.formats_turn,
        "That GPTQ is better as such: with symmetric codes for both, HQQ leads. Affine codes take 0.28 bits more.",
    ),
    Conclusion(
        "09",
        "At 2 bits training with the rounding inside loses less than half of what the best other method does, and not "
        "because of the longer training",
        "So most of the damage of 2 bits can be trained away",
        "3 tiny and 3 small models, 4 formats, with a control trained as long",
        findings.training,
        "Large models, for which training costs more than most can pay.",
    ),
    Conclusion(
        "10",
        "With one scale for a row, more training text means more damage at 2 bits; at 3 and 4 bits not as a rule",
        "At 2 bits with one scale for a row the claim holds",
        "4 sizes × 4 amounts of text × 3 seeds, usual recipe, round to nearest",
        findings.text_and_damage,
        "More than 5 million tokens: in the last step the damage of the two larger sizes doubles at 4 bits, too.",
    ),
    Conclusion(
        "10",
        "At 3 to 5 bits larger models lose less; of the text the fitted law says nothing, and has the wrong shape",
        "Of the text the fit says nothing",
        "the same grid; ranges over redraws of its 16 points",
        findings.size_protects,
        "Where true exponents lie; that the text does not matter (it does, in no common direction).",
    ),
    Conclusion(
        "10",
        "In the bytes of its matrices, a larger model in 3 bits beats a smaller one in 16",
        "Down to 3 bits it was not better to train a smaller model",
        "the grid's models with the most text, groups of 32, matrices alone",
        findings.larger_in_fewer_bits,
        "These models counted whole: their embeddings weigh more; what the larger one costs to train.",
    ),
    Conclusion(
        "10",
        "What rounding costs depends on how a model was trained, at the same loss, by a factor of three",
        "halve the damage, weight decay takes a fifth off it",
        "the tiny shape, 3 million tokens, 12 recipes, 3 seeds",
        findings.recipe,
        "Other sizes, finer formats, 2 bits (where recipes differ by a tenth), and what in the weights it is.",
    ),
    Conclusion(
        "10",
        "At 3 bits small first weights, weight decay, a late fall of the rate and averaged weights lower the damage",
        "Now one choice at a time",
        "the same; all pairs that differ in nothing else",
        findings.choices_of_a_recipe,
        "That they do so in large models; the effects were not tested beyond these values.",
    ),
    Conclusion(
        "10",
        "With the usual recipe nearly all of the damage at 3 bits comes early, and more text adds none",
        "what follows, the recipe decides",
        "the tiny shape, usual recipe, cosine, 3 seeds",
        findings.early,
        "Trainings beyond 30 tokens per parameter; 2 bits; the recipe of our tiny models, where the damage grows.",
    ),
    Conclusion(
        "10",
        "Training in 8 bits, weights, activations and gradients, costs nothing that three starts can show",
        "FP8 costs nothing that three starts can show",
        "64 wide, a million tokens, 3 seeds",
        findings.eight_bits,
        "Long trainings and large models, where errors add up; speed (all of it is computed in FP32).",
    ),
    Conclusion(
        "10",
        "In 4 bits the format decides: floats in blocks of 16 lose least, integers with one scale for a row most",
        "In 4 bits the *format* decides",
        "64 wide, a million tokens, 3 seeds",
        findings.four_bits,
        "Whether it is the numbers or the blocks; what stochastic rounding and rotations do in long trainings.",
    ),
    Conclusion(
        "10",
        "Of weights trained in 8, 4 or 3 bits, those in 4 give most for their bytes",
        "in 4 bits it is worth about three quarters in a quarter of the bytes",
        "64 wide, a million tokens, 3 seeds; priced by FP32 models of four sizes, one seed each",
        findings.worth,
        "Activations, speed and the cost of training; other sizes.",
    ),
    Conclusion(
        "11",
        "What pruning ruins in one shot, training with the whole model as teacher repairs to 0.01 to 0.15 nats",
        "Structure is ruin only for those who stop there",
        "3 small models, 240 steps, against the whole model trained as long",
        beyond.healed_pruning,
        "Models that know more than a small grammar, and healing on text that they were not trained on.",
    ),
    Conclusion(
        "11",
        "At equal training, pruning in four rounds ends above pruning at once",
        "Rounds did *not* help",
        "3 small models, 240 steps in all",
        beyond.rounds,
        "Longer training between the rounds, or one schedule through all of them.",
    ),
    Conclusion(
        "11",
        "Rounding pruned and healed models to 4 bits costs little; after 75 % or half of the channels more than before",
        "pruning can make rounding dearer, but the price is small",
        "3 small models, 9 ways, GPTQ on a clipped grid in groups of 32",
        beyond.pruned_and_rounded,
        "Fewer bits, coarser formats, and pruning that was not healed.",
    ),
    Conclusion(
        "12",
        "Which factorization heals best depends on the model: reordered products on tiny models, SVD on larger ones",
        "The order depends on the model.",
        "3 tiny and 3 small models, 300 steps, against the whole model trained as long; `story`, 3 starts, 400",
        beyond.healing_order,
        "Whether size or recipe turns the order; plain products on `story`, which has no control either.",
    ),
    Conclusion(
        "12",
        "How much a factorization harms before healing does not say where healing ends",
        "SVD does less damage than plain products and ends above them",
        "3 tiny models, half of the feed-forward parameters, 300 steps",
        beyond.before_healing,
        "Larger models: on the small ones and on `story` the least damaged is also the best healed.",
    ),
    Conclusion(
        "12",
        "With KnGPT-2's untied output head a compressed model stores more numbers than before, and heals less well",
        "A tiny model has *more* parameters than before",
        "3 tiny models, its recipe by secondary notes, 300 steps",
        beyond.untied,
        "GPT-2 itself, whose matrices outweigh its embedding; losses with tuned weights.",
    ),
    Conclusion(
        "13",
        "At temperature 1 a teacher helps, with little text and with fresh text",
        "At T = 1 the teacher helps.",
        "tiny students, 400 steps, 3 pairs; intervals by Student's t",
        beyond.teacher_helps,
        "Longer training, other shares of the teacher and other sizes.",
    ),
    Conclusion(
        "13",
        "A teacher at temperature 2 is worse than one at 1",
        "Hotter is not better here",
        "the same",
        beyond.hotter,
        "Whether a hot teacher is worse than none; other learning rates and shares for each temperature.",
    ),
    Conclusion(
        "13",
        "At one learning rate, a student of the teacher's own layers is ahead of a random one for all of the training",
        "After 50 steps the student of the teacher's layers is ahead",
        "`story`, two of four layers, 200 steps, 3 seeds",
        beyond.from_layers,
        "How far: the rate is low for a random start; and what of it is the layers, what the embedding.",
    ),
    Conclusion(
        "14",
        "Shapes of equal size, text and steps, trained at one learning rate for all: the rate chooses the winner",
        "Four rates, three winners.",
        "4 shapes with 50,000 numbers in their matrices, a million tokens, one start",
        beyond.one_rate,
        "Which shape is best: that takes each shape's own rate, more text and more starts.",
    ),
    Conclusion(
        "14",
        "At 2 bits and equal bytes the method decides: GPTQ, AWQ, HQQ, RTN, in this order",
        "At 2 bits the method decides.",
        "`story`, affine codes in groups of 64, no training; one model, 300 held-out stories",
        beyond.two_bits_by_method,
        "Intervals (it is one model), other formats, and what training through the rounding reaches.",
    ),
    Conclusion(
        "14",
        "A small model should be rounded, too: 4 bits cost it thousandths of a nat and save it most of its bytes",
        "and they, too, should be rounded",
        "3 models, 192 wide, trained as usual on 5 million tokens; affine codes in groups of 32",
        beyond.small_and_few_bits,
        "Small models of another recipe, which lose more (notebook 10), and coarser formats.",
    ),
)
