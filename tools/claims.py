"""What four popular articles say, with short quotes, what we find, and the verdict: the table of claims.

`tools.myths` makes docs/myths.md of it; notebooks show the mistakes that teach and name nobody. Each row quotes a few
words, computes our number with the course's own code, and names the notebook that shows it. `test_claims` holds the
verdicts and the notebooks to the table; nothing here needs the articles themselves. All quotes were compared with them, word by word, when the table was written, and no number of
the articles was left out.

right: ours agrees within 1 %. loose: true with a grain of salt (up to 35 % off, or a condition is missing).
wrong: it is something else.
"""

from dataclasses import dataclass

import numpy as np

from helpers.numbers import blocks, integers
from helpers.numbers.formats import FORMATS


@dataclass(frozen=True)
class Source:
    title: str
    author: str
    url: str
    compared: str  # how far the page at this address was compared with the text that we quote


@dataclass(frozen=True)
class Claim:
    source: str  # the article's letter
    quote: str  # a few words of it, to find the place
    says: str  # the claim in English, as the page of myths has it
    article: object  # what it says
    ours: object  # what we compute, or what a source named in the notebook says
    verdict: str
    notebook: str
    stands: str  # words of the notebook's text, code or output
    found: str  # what we find, as the page of myths has it

    @property
    def id(self) -> str:
        return f"{self.source}: {self.quote[:40]}"


def allowed(article: object, ours: object) -> set[str]:
    """Return the verdicts that these two leave open: numbers (or lists of them) by their distance, words by equality."""
    try:
        article, ours = np.asarray(article, float), np.asarray(ours, float)
    except (TypeError, ValueError):
        return {"right"} if article == ours else {"loose", "wrong"}
    off = float(np.max(np.abs(article - ours) / np.abs(np.where(ours == 0, 1, ours))))
    if not np.isfinite(off):
        return set()
    return {"right"} if off <= 0.01 else {"loose", "wrong"} if off < 0.35 else {"wrong"}


# All four were read, and are quoted, in Portuguese translations; the addresses are those of English versions.
SOURCES = {
    "A": Source(
        title="LLMs quantization",
        author="MaximoFN",
        url="https://www.maximofn.com/en/llms-quantization",
        compared="the author's English version, its first part",
    ),
    "B": Source(
        title="Quantizing LLMs Step-by-Step: Converting FP16 Models to GGUF",
        author="not named in the copy that we read",
        url="https://technewshaven.com/quantizing-llms-step-by-step-converting-fp16-models-to-gguf/",
        compared="only the title; probably a copy of the original",
    ),
    "C": Source(
        title="A popular technique to make AI more efficient has drawbacks",
        author="TechCrunch",
        url="https://oodaloop.com/briefs/technology/a-popular-technique-to-make-ai-more-efficient-has-drawbacks",
        compared="a brief that repeats its first paragraphs",
    ),
    "D": Source(
        title="Making AI models deeper allows them to run on smaller devices",
        author="an author of TQCompressor (arXiv 2401.16367), not named in the copy that we read",
        url="https://bizandtech.net/device-ai-making-ai-models-deeper-allows-them-run-smaller-devices",
        compared="an English version, its first part; the title is taken from the address",
    ),
}

LLAMA_7B, TINYLLAMA = 6_738_415_616, 1_100_048_384  # parameters
ARRAY = np.array([1.2, -0.5, -4.3, 1.2, -3.1, 0.8, 2.4, 5.4])
SYMMETRIC = integers.absmax(ARRAY)

CLAIMS = [
    # Memory
    Claim("A", "chama 3 400B", "The largest LLaMA 3 has 400 billion parameters", 400e9, 405e9, "loose", "01", "405B in FP32 needs", "405 billion"),
    Claim("A", "cada parâmetro ocupará 4 bytes", "In FP32 a parameter takes 4 bytes", 4, FORMATS["fp32"].width / 8, "right", "01", '"FP32": 32', "4 bytes"),
    Claim("A", "400(10e9)4 bytes = 1,6 TB", "400(10e9)4 bytes = 1.6 TB", 1.6e12, 400 * 10e9 * 4, "wrong", "01", "as written 16 TB, as meant 1.6 TB", "16 TB: 10e9 is 10¹⁰; with 1e9 it is 1.6 TB"),
    Claim("A", "20 GPUs com 80 GB", "It takes 20 GPUs of 80 GB", 20, -(-1623.1 // 80), "loose", "01", "405B in FP32 needs 1,623 GB: 21 cards of 80 · 10⁹ bytes", "21, or 19 if GiB are meant, with cache and 1 GB of overhead"),
    Claim("A", "70(10e9)4 bytes = 280 GB", "70(10e9)4 bytes = 280 GB", 280e9, 70 * 10e9 * 4, "wrong", "01", "70B × 4 bytes = 280 GB", "2,800 GB as written; with 1e9 it is 280 GB"),
    Claim("A", "4 GPUs com 80 GB", "A 70-billion model in FP32 takes 4 GPUs of 80 GB", 4, -(-282.3 // 80), "right", "01", "80) == \"4 × 80 GB\"", "4"),
    Claim("A", "70(10e9)0,5 bytes = 35 GB", "70(10e9)0.5 bytes = 35 GB", 35e9, 70 * 10e9 * 0.5, "wrong", "01", "70B × 0.5 bytes = 35 GB", "350 GB as written; with 1e9 it is 35 GB"),
    Claim("A", "2 GPUs com 24 GB", "At half a byte each it takes 2 GPUs of 24 GB", 2, -(-37.3 // 24), "right", "01", "24) == \"2 × 24 GB\"", "2"),
    Claim("B", "mais de 12 GB de VRAM", "LLaMA 7B in full precision needs more than 12 GB", "FP32", "FP16", "wrong", "01", "12.55 GiB in **FP16**", "that is FP16 (12.55 GiB); FP32 takes 26.95 GB"),
    Claim("B", "cerca de 28 GB no FP32", "7 billion parameters take 28 GB in FP32", 28e9, 7e9 * 32 / 8, "right", "01", "28.00 GB = 26.08 GiB", "28 GB"),
    Claim("B", "cerca de 14 GB mesmo no FP16", "… and 14 GB in FP16", 14e9, 7e9 * 16 / 8, "right", "01", "14.00 GB = 13.04 GiB", "14 GB"),
    Claim("B", "cerca de 7 GB com", "… about 7 GB with 8 bits", 7e9, LLAMA_7B * blocks.BITS_PER_WEIGHT["Q8_0"] / 8, "loose", "01", "that \"about\" is right", "7.16 GB, with the scales"),
    Claim("B", "cerca de 4 GB com", "… about 4 GB with 4 bits", 4e9, LLAMA_7B * blocks.BITS_PER_WEIGHT["Q4_0"] / 8, "loose", "03", "both with an FP16 scale and so 4.5 bits", "3.79 GB: 4.5 bits each"),
    Claim("B", "TinyLlama 1.1B", "TinyLlama has 1.1 billion parameters", 1.1e9, TINYLLAMA, "right", "03", "1_100_048_384", "1,100,048,384"),
    Claim("B", "aproximadamente pela metade", "8 bits halve the file", 2, 16 / blocks.BITS_PER_WEIGHT["Q8_0"], "loose", "05", "1.88 times, not 2", "1.88 times smaller: the scales take half a bit"),
    Claim("B", "alguns GB de tamanho", "TinyLlama's Q8_0 file is a few GB", 2e9, TINYLLAMA * 8.5 / 8, "wrong", "05", "it has 1.17 GB", "1.17 GB"),
    Claim("B", "significa “quantizar para 8 bits”", "q8_0 means 8 bits", 8, blocks.BITS_PER_WEIGHT["Q8_0"], "loose", "03", "8.5 bits per weight", "8.5 bits per weight"),
    Claim("B", "para 4 bits ou 8 bits", "convert_hf_to_gguf.py converts to 4 or 8 bits", "converter makes 4 bits", "quantizer makes 4 bits", "wrong", "05", "no 4-bit type among them", "8 bits only; 4 bits are made by llama.cpp's quantizer"),
    Claim("B", "formato de arquivo único", "GGUF is a format of one file", 1, "pieces", "loose", "05", "--split-max-size", "one, or several pieces"),
    # Formats
    Claim("B", "2.31384. No FP32, apenas esse número usa 32 bits", "2.31384 takes 32 bits in FP32", 32, FORMATS["fp32"].width, "right", "01", "2.31384 in eight formats", "32 bits"),
    Claim("B", "Talvez isso se torne 2.3", "With 8 bits 2.31384 may become 2.3", 2.3, float(FORMATS["fp8_e4m3"].round(2.31384)), "loose", "01", "no binary format holds 2.3", "2.25 or 2.5: no binary format holds 2.3"),
    Claim("A", "o FP16 é que ele não atinge valores tão altos", "FP16 does not reach as far as FP32", True, FORMATS["fp16"].max < FORMATS["fp32"].max, "right", "01", "FP16 ends at 65,504", "it ends at 65,504"),
    Claim("A", "mesma quantidade de bits de expoente", "TF32 has as many exponent bits as FP32", 8, FORMATS["tf32"].exponent_bits, "right", "01", "TF32** has the range of FP32", "8"),
    Claim("A", "vantagem de ocupar menos memória", "TF32 takes less memory", 19, 32, "wrong", "01", "no array of TF32 exists", "none: it is a way of computing on numbers of 32 bits"),
    Claim("A", "TF32 tem um total de 19 bits", "TF32 has 19 bits", 19, FORMATS["tf32"].width, "right", "01", "in 19 bits", "19"),
    Claim("A", "o BF16 tem 16 bits", "BF16 has 16 bits", 16, FORMATS["bf16"].width, "right", "01", "BF16 has the layout of FP32's upper half", "16"),
    Claim("A", "-128 a 127 e de 0 a 255", "INT8 holds −128 to 127, UINT8 0 to 255", [-128, 127, 0, 255], [FORMATS["int8"].min, FORMATS["int8"].max, FORMATS["uint8"].min, FORMATS["uint8"].max], "right", "01", "INT8 holds −128 to 127 and UINT8 0 to 255", "the same"),
    Claim("A", "cada parâmetro ocupa 1 byte em comparação com os 4 bytes", "INT8 takes a quarter of FP32", 4, FORMATS["fp32"].width / FORMATS["int8"].width, "right", "01", '"INT8": 8', "a quarter, without the scales"),
    Claim("A", "podem representar um pequeno intervalo de números e também apenas números inteiros", "Integers hold only a small range and whole numbers", "overflow", "a scale removes it", "loose", "01", "A scale removes the overflow", "a scale removes the limits of the range; 256 marks remain"),
    Claim("A", "armazenados em FP16 e são usados para modificar os valores FP32", "Gradients are computed in FP16 and change weights in FP32", "enough", "needs loss scaling", "loose", "01", "the recipe is incomplete", "incomplete: without loss scaling small gradients become 0"),
    # Quantization
    Claim("A", "os limites de UINT8 são -127 e 127", "UINT8 runs from −127 to 127", [-127, 127], [0, 255], "wrong", "02", "UINT8\", which holds 0 to 255", "0 to 255; ±127 is symmetric INT8"),
    Claim("A", "multiplicar 0,3 por 127, o que dá 38,1", "0.3 × 127 = 38.1", 38.1, 0.3 * 127, "right", "02", "0.3 → 38 → 0.29921", "38.1"),
    Claim("A", "arredondar para 38", "… rounded to 38", 38, int(integers.absmax([0.3, 1]).codes[0]), "right", "02", "0.3 → 38 → 0.29921", "38"),
    Claim("A", "dividir 38 por 127, o que dá 0,2992", "38 ÷ 127 = 0.2992", 0.2992, 38 / 127, "right", "02", "0.29921", "0.29921"),
    Claim("A", "temos um erro de 0,008", "The error is 0.008", 0.008, 0.3 - 38 / 127, "wrong", "02", "error 0.00079", "0.00079"),
    Claim("A", "o zero de FP32 corresponde ao zero do novo formato", "In zero-point quantization zero stays zero", "zero-point", "symmetric", "wrong", "02", "is symmetric, whatever its name", "that scheme is symmetric; affine quantization moves zero"),
    Claim("A", "primeiro divida a matriz", "Divide by the maximum, multiply by 127", "by the maximum", "by the largest magnitude", "wrong", "02", "The scale must come from max |x|", "by the largest magnitude: else negative numbers wrap around"),
    Claim("A", "[1.2, -0.5, -4.3, 1.2, -3.1, 0.8, 2.4, 5.4]", "An example of eight numbers", ARRAY.tolist(), ARRAY.tolist(), "right", "02", "[1.2, -0.5, -4.3, 1.2, -3.1, 0.8, 2.4, 5.4]", "computed again"),
    Claim("A", "valor máximo é 5,4", "Its maximum is 5.4", 5.4, ARRAY.max(), "right", "02", "÷ 5.4", "5.4"),
    Claim("A", "[0.2222222222, -0.09259259259, -0.7962962963, 0.2222222222, -0.5740740741, 0.1481481481, 0.4444444444, 1]", "Divided by it: 0.2222, −0.0926, …", [0.2222222222, -0.09259259259, -0.7962962963, 0.2222222222, -0.5740740741, 0.1481481481, 0.4444444444, 1], (ARRAY / 5.4).tolist(), "right", "02", "0.2222 -0.0926 -0.7963", "the same eight numbers"),
    Claim("A", "multiplicarmos todos os valores por 127", "Times 127: 28.22, −11.76, …", [28.22222222, -11.75925926, -101.1296296, 28.22222222, -72.90740741, 18.81481481, 56.44444444, 127], (ARRAY / 5.4 * 127).tolist(), "right", "02", "28.222", "the same eight numbers"),
    Claim("A", "[28,22222222, -11.75925926, -101.1296296, 28.22222222, -72.90740741, 18.81481481, 56.44444444, 127]", "The largest becomes 127", 127, SYMMETRIC.high, "right", "02", "56.444", "127"),
    Claim("A", "[28, -12, -101, 28, -73, 19, 56, 127]", "Rounded: 28, −12, −101, 28, −73, 19, 56, 127", [28, -12, -101, 28, -73, 19, 56, 127], SYMMETRIC.codes.tolist(), "right", "02", "[28, -12, -101, 28, -73, 19, 56, 127]", "the same codes"),
    Claim("A", "[0,2204724409, -0.09448818898, -0.7952755906, 0.2204724409, -0.5748031496, 0.1496062992, 0.4409448819, 1]", "Divided by 127: 0.2205, −0.0945, …", [0.2204724409, -0.09448818898, -0.7952755906, 0.2204724409, -0.5748031496, 0.1496062992, 0.4409448819, 1], (SYMMETRIC.codes / 127).tolist(), "right", "02", "All eight numbers, which are published as an example, are right", "the same eight numbers"),
    Claim("A", "[1,190551181, -0.5102362205, -4.294488189, 1.190551181, -3.103937008, 0.8078740157, 2.381102362, 5.4]", "Back: 1.1906, −0.5102, …", [1.190551181, -0.5102362205, -4.294488189, 1.190551181, -3.103937008, 0.8078740157, 2.381102362, 5.4], SYMMETRIC.dequantize().tolist(), "right", "02", "1.1906 -0.5102 -4.2945", "the same eight numbers"),
    Claim("A", "valor máximo de UINT8", "127 is the largest number of UINT8", 127, 255, "wrong", "02", "UINT8\", which holds 0 to 255", "255; 127 is INT8's"),
    Claim("A", "Há três maneiras", "There are three ways to shrink a model", 3, 4, "loose", "02", "There is at least a fourth", "at least four: factorization is another"),
    Claim("A", "passagem para frente em dois modelos", "Quantization-aware training runs two models", 2, 1, "wrong", "09", "One copy, in floats, and one forward pass", "one, whose weights are rounded on the way through"),
    # Limits
    Claim("C", "treinada por um longo período em muitos dados", "The longer a model was trained, the more quantization hurts", "more data, more damage", "at 2 bits; at 3 and 4 not as a rule", "loose", "10", "there is a step in which *more* text makes the damage *smaller*", "at 2 bits clearly; at 3 and 4 bits it falls first and rises late"),
    Claim("C", "pode ser melhor apenas treinar um modelo menor", "At some point a smaller model is better", "at some point", "at 2 bits", "loose", "10", "Down to 3 bits it was not better to train a smaller model", "not at equal bytes of the matrices, down to 3 bits; at 2, rounded to nearest, yes"),
    Claim("C", "“mais prejudicial”", "Llama 3 suffers more than Llama 2", "Llama 3 suffers more", "Llama 3 suffers more", "right", "10", "From Q6_K down Llama-3 loses more", "from Q6_K down, by llama.cpp's tables"),
    Claim("C", "15 trilhões de tokens", "Llama 3 saw 15 trillion tokens", 15e12 / 2e12, 7.5, "right", "10", "15 trillion (both figures", "7.5 times Llama 2's"),
    Claim("C", "“apenas” 2 trilhões", "… Llama 2 only 2 trillion", 7.5, (15e12 / 8.03e9) / (2e12 / 6.74e9), "loose", "10", "1868 tokens for each parameter", "per parameter 6.3 times as many: 1,868 and 297"),
    Claim("C", "$191 milhões", "Training cost 191 million dollars, answering 6 billion a year", 6e9 / 191e6, 31.4, "right", "10", "ratio 31, but one is paid once and the other every year", "a ratio of 31; one is paid once, the other every year"),
    Claim("C", "50 palavras para metade de todas as consultas", "Answering is more expensive than training", "more expensive", "once against every year", "loose", "10", "days of answering cost as much as the training", "after 12 days of answering"),
    Claim("C", "$6 bilhões por ano", "… 6 billion a year", 6e9, 6e9, "right", "10", "per_year = 191e6, 6e9", "used as given; it cannot be checked"),
    Claim("C", "milhões de cálculos", "A model performs millions of calculations", 1e6, 2 * 7e9, "wrong", "10", "billion operations *for every token*", "14 billion for every token of a 7-billion model"),
    Claim("C", "1 milhão de tokens é igual a cerca de 750.000 palavras", "A million tokens are 750,000 words", "0.75 for all", "depends on the tokenizer", "loose", "10", "depends on the tokenizer", "depends on the tokenizer: 0.43 of a word for each token of ours"),
    Claim("C", "precisões inferiores a 7 ou 8 bits", "Below 7 or 8 bits quality drops", "7 or 8 bits", "Q4_K_M adds 1.4 to 2.8 %", "loose", "10", "That number mixes two things", "that is for training; rounded afterwards, Q4_K_M costs 1.4 to 2.8 % of perplexity"),
    Claim("C", "menos esforço matemático", "Fewer bits are less arithmetic", "less computing", "less memory traffic", "loose", "10", "less arithmetic only if the hardware computes in that format", "less memory traffic; less arithmetic only where hardware computes in the format"),
    Claim("C", "uma poda mais envolvente e seletiva", "Distillation is a kind of pruning", "pruning", "another model that learns", "wrong", "10", "no: a new model learns from the old one's outputs", "no: another model learns from the outputs"),
    Claim("C", "16 bits ou “meia precisão”", "Half precision is 16 bits", 16, FORMATS["fp16"].width, "right", "01", "12.55 GiB in **FP16**, half precision", "16"),
    Claim("C", "após o treinamento” para uma precisão de 8 bits", "Post-training quantization goes to 8 bits", 8, FORMATS["int8"].width, "right", "02", "Quantizing a trained model is *post-training quantization*", "8 and fewer"),
    Claim("C", "tipo de dado FP8", "FP8 exists in hardware", 8, FORMATS["fp8_e4m3"].width, "right", "01", "FP8 needs Ada, Hopper or newer", "since Hopper and Ada"),
    Claim("C", "suporta precisão de 4 bits", "Blackwell computes in 4 bits", 4, FORMATS["fp4_e2m1"].width, "right", "01", '"Blackwell, B200 (10.0)": hopper | {"FP4"}', "FP4"),
    Claim("C", "treinar modelos em “baixa precisão” pode torná-los mais robustos", "Training in low precision makes models more robust", "more robust", "better at 2 and 3 bits", "loose", "10", "better at 2 and 3 bits", "better at 2 and 3 bits, not at 4 and 8"),
    # Beyond quantization
    Claim("D", "requer pelo menos 16 GB de RAM", "LLaMA-3.1-8B needs at least 16 GB", 16e9, 8_030_261_248 * 2, "right", "14", "LLaMA-3.1-8B in FP16: 16.1 GB", "16.1 GB in FP16"),
    Claim("D", "iPhone com 6 GB de RAM", "It cannot run on a phone of 6 GB", "no match for the servers", "Q4_K_M fits into 6 GB", "loose", "14", "in Q4_K_M: 4.9 GB", "4.9 GB in Q4_K_M"),
    Claim("D", "Android com até 12 GB de RAM", "… nor of 12 GB", "no match for the servers", "Q8_0 fits into 12 GB", "loose", "14", "in Q8_0: 8.5 GB", "8.5 GB in Q8_0"),
    Claim("D", "MobileLLM, tem 30 camadas", "MobileLLM has 30 layers", 30, 30, "right", "14", '"125M": (30, 576, 9, 3, 1536)', "30"),
    Claim("D", "normalmente têm cerca de 12 camadas", "Small models have about 12 layers", 12, 12, "right", "14", "GPT-2 has 12", "GPT-2 has 12"),
    Claim("D", "têm de 10 a 12 camadas", "… 10 to 12", [10, 12], [12, 12], "loose", "14", "GPT-2 has 12", "GPT-2 has 12"),
    Claim("D", "125 milhões e 350 milhões de parâmetros", "MobileLLM has 125 and 350 million parameters", [125, 350], [124.6, 345.4], "loose", "14", "345,355,200", "124.6 and 345.4 million"),
    Claim("D", "600 milhões, 1 bilhão e 1,5 bilhão", "… later 600 million, 1 and 1.5 billion", [600e6, 1e9, 1.5e9], [603188352, 1005461760, 1511188800], "right", "14", "1,511,188,800", "603, 1,005 and 1,511 million"),
    Claim("D", "quase 65 vezes mais parâmetros", "LLaMA-3-8B has almost 65 times as many", 65, 8_030_261_248 / 124_635_456, "right", "14", "LLaMA-3-8B has 64 times the parameters", "64.4 times"),
    Claim("D", "ambos os modelos tenham cerca de 30 camadas", "Both have about 30 layers", [30, 30], [32, 30], "loose", "14", "32 layers against 30", "32 and 30"),
    Claim("D", "“em profundidade” funciona melhor do que “em largura”", "Deep works better than wide", "always", "not at small budgets", "loose", "14", "its handicap at the start disappears", "depends on how long it is trained"),
    Claim("D", "reutilizar camadas, obtiveram ganhos significativos de eficiência", "Sharing layers makes it more efficient", 1, 2, "wrong", "14", "8 layer calls instead of 4", "fewer parameters, twice the layer calls"),
    Claim("D", "ocupava 100 MB poderia ser compactado para apenas 25 MB", "100 MB become 25 MB with 8 bits", 25, 100 * blocks.BITS_PER_WEIGHT["Q8_0"] / 32, "loose", "14", "100 MB of FP32 become 26.6 MB", "26.6 MB"),
    Claim("D", "requisitos de memória e computacionais são reduzidos significativamente", "Pruning reduces memory and computing", "smaller and faster", "not one byte, no faster", "loose", "11", "Not one byte smaller and no faster", "not one byte, and no faster, unless the format or the shape changes"),
    Claim("D", "resultado igual ou muito próximo do original", "A matrix is decomposed with equal or nearly equal result", "equal or very close", "22 to 37 % lost", "loose", "11", "22% to 37% of the squares lost", "22 to 37 % of the squares are lost at half the parameters"),
    Claim("D", "introduzida por Hinton et al. em 2015", "Distillation was introduced by Hinton in 2015", 2015, 2015, "right", "13", "arXiv 1503.02531", "arXiv 1503.02531"),
    Claim("D", "Sanh et al. 2019", "DistilBERT is by Sanh, 2019", 2019, 2019, "right", "13", "arXiv 1910.01108", "arXiv 1910.01108"),
    Claim("D", "parâmetros do BERT em 40%", "It has 40 % fewer parameters than BERT", 40, 100 * (1 - 66 / 110), "right", "13", "66 against 110 million parameters: right", "66 against 110 million"),
    Claim("D", "mantendo 97% de seu desempenho", "… keeps 97 % of its performance", "performance", "mean GLUE score", "loose", "13", "a mean of percentages", "of a mean of GLUE scores"),
    Claim("D", "71% mais rápido", "… and is 71 % faster", 71, 60, "loose", "13", "the paper's abstract says 60 %", "60 % in the paper's abstract, 71 % on a phone"),
    Claim("D", "parâmetros do GPT-2 foram reduzidos de 125 milhões para 81 milhões", "KnGPT-2 has 81 million parameters", 81e6, 124_274_362, "wrong", "12", "124.3 million with it", "124.3 million with the output head; 81 is TQCompressor's count"),
    Claim("D", "apenas 10% do conjunto de dados original", "… trained on 10 % of the data", 10, 10, "right", "13", "10 % and 3.1 %", "10 %, by the paper"),
    Claim("D", "tamanho do modelo diminuiu 35%", "It is 35 % smaller", 35, 3.6, "wrong", "12", "34.6% or 3.6% fewer", "3.6 % with the output head"),
    Claim("D", "(com 125 milhões de parâmetros) para 81 milhões", "TQCompressedGPT-2 has 81 million parameters", 81e6, 119_933_764, "wrong", "12", "119,933,764 with it", "119.9 million with the output head"),
    Claim("D", "apenas 3,1% do conjunto de dados", "… trained on 3.1 % of the data", 3.1, 3.1, "right", "12", "3.1 % (KnGPT-2: 10 %)", "3.1 %, by the paper"),
    Claim("D", "cerca de 33 vezes", "… 33 times less", 33, 1 / 0.031, "loose", "12", "1 ÷ 0.031 = 32", "1 ÷ 0.031 = 32"),
    Claim("D", "33 vezes menos tempo para obter", "LLaMA-3 could be had in 33 times less time", "LLaMA-3, 33 times", "nothing was measured", "loose", "12", "nothing was measured for LLaMA-3", "nothing was measured for LLaMA-3"),
    Claim("D", "1,5x", "It is compressed 1.5 times", 1.5, 124_439_808 / 119_933_764, "wrong", "12", "119.9 with it: −3.6 %", "1.04 times with the output head"),
    Claim("D", "alcançamos maior precisão no modelo compactado", "Permutations help", "permutations help", "permutations help", "right", "12", "\"Permutations help\" holds here in every case", "in every case here"),
    Claim("D", "reduzindo as camadas do modelo uma por uma", "Layers are compressed one by one", "one by one", "at once was better here", "loose", "12", "All layers at once is better here than layer by layer", "all at once was better here"),
    Claim("D", "mais compactas e profundas", "The model becomes deeper", "deeper", "as many layers", "wrong", "12", "a layer stays a layer: none is added", "no layer is added"),
    Claim("D", "perda relativamente pequena de desempenho", "The loss is relatively small", "small", "31 to 49 % of perplexity", "loose", "12", "relatively small", "33 to 49 % more perplexity by the paper's table"),
]  # fmt: skip
