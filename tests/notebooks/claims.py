"""What four popular articles say, with short quotes, what we find, and the verdict: the table of claims.

Notebooks call the articles A to D. Each row quotes a few words, computes our number with the course's own code, and
names the notebook that shows it. `test_claims` holds the verdicts and the notebooks to the table; nothing here needs
the articles themselves. All quotes were compared with them, word by word, when the table was written, and no number of
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
    article: object  # what it says
    ours: object  # what we compute, or what a source named in the notebook says
    verdict: str
    notebook: str
    stands: str  # words of the notebook's text, code or output

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
    Claim("A", "chama 3 400B", 400e9, 405e9, "loose", "01", "405 billion parameters"),
    Claim("A", "cada parâmetro ocupará 4 bytes", 4, FORMATS["fp32"].width / 8, "right", "01", '"FP32": 32'),
    Claim("A", "400(10e9)4 bytes = 1,6 TB", 1.6e12, 400 * 10e9 * 4, "wrong", "01", "as written 16 TB, as meant 1.6 TB"),
    Claim("A", "20 GPUs com 80 GB", 20, -(-1623.1 // 80), "loose", "01", "405B in FP32 needs 1,623 GB: 21 cards of 80 · 10⁹ bytes"),
    Claim("A", "70(10e9)4 bytes = 280 GB", 280e9, 70 * 10e9 * 4, "wrong", "01", "70B × 4 bytes = 280 GB"),
    Claim("A", "4 GPUs com 80 GB", 4, -(-282.3 // 80), "right", "01", "four cards of 80 GB for 70B in FP32"),
    Claim("A", "70(10e9)0,5 bytes = 35 GB", 35e9, 70 * 10e9 * 0.5, "wrong", "01", "70B × 0.5 bytes = 35 GB"),
    Claim("A", "2 GPUs com 24 GB", 2, -(-37.3 // 24), "right", "01", "two of 24 GB at half a byte each"),
    Claim("B", "mais de 12 GB de VRAM", "FP32", "FP16", "wrong", "01", "12.55 GiB in **FP16**"),
    Claim("B", "cerca de 28 GB no FP32", 28e9, 7e9 * 32 / 8, "right", "01", "28, 14, 7 and 3.5 GB"),
    Claim("B", "cerca de 14 GB mesmo no FP16", 14e9, 7e9 * 16 / 8, "right", "01", "28, 14, 7 and 3.5 GB"),
    Claim("B", "cerca de 7 GB com", 7e9, LLAMA_7B * blocks.BITS_PER_WEIGHT["Q8_0"] / 8, "loose", "01", "its \"about\" is right"),
    Claim("B", "cerca de 4 GB com", 4e9, LLAMA_7B * blocks.BITS_PER_WEIGHT["Q4_0"] / 8, "loose", "03", "So Q4_0 has 4.5 bits per weight"),
    Claim("B", "TinyLlama 1.1B", 1.1e9, TINYLLAMA, "right", "03", "1_100_048_384"),
    Claim("B", "aproximadamente pela metade", 2, 16 / blocks.BITS_PER_WEIGHT["Q8_0"], "loose", "05", "1.88 times, not 2"),
    Claim("B", "alguns GB de tamanho", 2e9, TINYLLAMA * 8.5 / 8, "wrong", "05", "it has 1.17 GB"),
    Claim("B", "significa “quantizar para 8 bits”", 8, blocks.BITS_PER_WEIGHT["Q8_0"], "loose", "03", "8.5 bits per weight"),
    Claim("B", "para 4 bits ou 8 bits", "converter makes 4 bits", "quantizer makes 4 bits", "wrong", "05", "no 4-bit type among them"),
    Claim("B", "formato de arquivo único", 1, "pieces", "loose", "05", "--split-max-size"),
    # Formats
    Claim("B", "2.31384. No FP32, apenas esse número usa 32 bits", 32, FORMATS["fp32"].width, "right", "01", "2.31384 in eight formats"),
    Claim("B", "Talvez isso se torne 2.3", 2.3, float(FORMATS["fp8_e4m3"].round(2.31384)), "loose", "01", "no binary format holds 2.3"),
    Claim("A", "o FP16 é que ele não atinge valores tão altos", True, FORMATS["fp16"].max < FORMATS["fp32"].max, "right", "01", "FP16 ends at 65,504"),
    Claim("A", "mesma quantidade de bits de expoente", 8, FORMATS["tf32"].exponent_bits, "right", "01", "TF32** has the range of FP32"),
    Claim("A", "vantagem de ocupar menos memória", 19, 32, "wrong", "01", "no array of TF32 exists"),
    Claim("A", "TF32 tem um total de 19 bits", 19, FORMATS["tf32"].width, "right", "01", "in 19 bits"),
    Claim("A", "o BF16 tem 16 bits", 16, FORMATS["bf16"].width, "right", "01", "BF16 has the layout of FP32's upper half"),
    Claim("A", "-128 a 127 e de 0 a 255", [-128, 127, 0, 255], [FORMATS["int8"].min, FORMATS["int8"].max, FORMATS["uint8"].min, FORMATS["uint8"].max], "right", "01", "INT8 holds −128 to 127 and UINT8 0 to 255"),
    Claim("A", "cada parâmetro ocupa 1 byte em comparação com os 4 bytes", 4, FORMATS["fp32"].width / FORMATS["int8"].width, "right", "01", '"INT8": 8'),
    Claim("A", "podem representar um pequeno intervalo de números e também apenas números inteiros", "overflow", "a scale removes it", "loose", "01", "A scale removes the overflow"),
    Claim("A", "armazenados em FP16 e são usados para modificar os valores FP32", "enough", "needs loss scaling", "loose", "01", "it is incomplete"),
    # Quantization
    Claim("A", "os limites de UINT8 são -127 e 127", [-127, 127], [0, 255], "wrong", "02", "An unsigned byte holds 0 to 255"),
    Claim("A", "multiplicar 0,3 por 127, o que dá 38,1", 38.1, 0.3 * 127, "right", "02", "0.3 → 38 → 0.29921"),
    Claim("A", "arredondar para 38", 38, int(integers.absmax([0.3, 1]).codes[0]), "right", "02", "0.3 → 38 → 0.29921"),
    Claim("A", "dividir 38 por 127, o que dá 0,2992", 0.2992, 38 / 127, "right", "02", "0.29921"),
    Claim("A", "temos um erro de 0,008", 0.008, 0.3 - 38 / 127, "wrong", "02", "error 0.00079"),
    Claim("A", "o zero de FP32 corresponde ao zero do novo formato", "zero-point", "symmetric", "wrong", "02", "**Both are symmetric.**"),
    Claim("A", "primeiro divida a matriz", "by the maximum", "by the largest magnitude", "wrong", "02", "The scale must come from max |x|"),
    Claim("A", "[1.2, -0.5, -4.3, 1.2, -3.1, 0.8, 2.4, 5.4]", ARRAY.tolist(), ARRAY.tolist(), "right", "02", "[1.2, -0.5, -4.3, 1.2, -3.1, 0.8, 2.4, 5.4]"),
    Claim("A", "valor máximo é 5,4", 5.4, ARRAY.max(), "right", "02", "÷ 5.4"),
    Claim("A", "[0.2222222222, -0.09259259259, -0.7962962963, 0.2222222222, -0.5740740741, 0.1481481481, 0.4444444444, 1]", [0.2222222222, -0.09259259259, -0.7962962963, 0.2222222222, -0.5740740741, 0.1481481481, 0.4444444444, 1], (ARRAY / 5.4).tolist(), "right", "02", "0.2222 -0.0926 -0.7963"),
    Claim("A", "multiplicarmos todos os valores por 127", [28.22222222, -11.75925926, -101.1296296, 28.22222222, -72.90740741, 18.81481481, 56.44444444, 127], (ARRAY / 5.4 * 127).tolist(), "right", "02", "28.222"),
    Claim("A", "[28,22222222, -11.75925926, -101.1296296, 28.22222222, -72.90740741, 18.81481481, 56.44444444, 127]", 127, SYMMETRIC.high, "right", "02", "56.444"),
    Claim("A", "[28, -12, -101, 28, -73, 19, 56, 127]", [28, -12, -101, 28, -73, 19, 56, 127], SYMMETRIC.codes.tolist(), "right", "02", "[28, -12, -101, 28, -73, 19, 56, 127]"),
    Claim("A", "[0,2204724409, -0.09448818898, -0.7952755906, 0.2204724409, -0.5748031496, 0.1496062992, 0.4409448819, 1]", [0.2204724409, -0.09448818898, -0.7952755906, 0.2204724409, -0.5748031496, 0.1496062992, 0.4409448819, 1], (SYMMETRIC.codes / 127).tolist(), "right", "02", "All its numbers are right"),
    Claim("A", "[1,190551181, -0.5102362205, -4.294488189, 1.190551181, -3.103937008, 0.8078740157, 2.381102362, 5.4]", [1.190551181, -0.5102362205, -4.294488189, 1.190551181, -3.103937008, 0.8078740157, 2.381102362, 5.4], SYMMETRIC.dequantize().tolist(), "right", "02", "1.1906 -0.5102 -4.2945"),
    Claim("A", "valor máximo de UINT8", 127, 255, "wrong", "02", "±127 is the part of **INT8**"),
    Claim("A", "Há três maneiras", 3, 4, "loose", "02", "There is at least a fourth"),
    Claim("A", "passagem para frente em dois modelos", 2, 1, "wrong", "02", "it keeps one"),
    # Limits
    Claim("C", "treinada por um longo período em muitos dados", "more data, more damage", "at 2 bits; at 4 not at every step", "loose", "10", "at 4 bits, four times more text"),
    Claim("C", "pode ser melhor apenas treinar um modelo menor", "at some point", "at 2 bits", "loose", "10", "is the *worst* of all after rounding"),
    Claim("C", "“mais prejudicial”", "Llama 3 suffers more", "Llama 3 suffers more", "right", "10", "From Q6_K down Llama-3 loses more"),
    Claim("C", "15 trilhões de tokens", 15e12 / 2e12, 7.5, "right", "10", "15 trillion (both figures"),
    Claim("C", "“apenas” 2 trilhões", 7.5, (15e12 / 8.03e9) / (2e12 / 6.74e9), "loose", "10", "1868 tokens for each parameter"),
    Claim("C", "$191 milhões", 6e9 / 191e6, 31.4, "right", "10", "ratio 31, but one is paid once and the other every year"),
    Claim("C", "50 palavras para metade de todas as consultas", "more expensive", "once against every year", "loose", "10", "days of answering cost as much as the training"),
    Claim("C", "$6 bilhões por ano", 6e9, 6e9, "right", "10", "per_year = 191e6, 6e9"),
    Claim("C", "milhões de cálculos", 1e6, 2 * 7e9, "wrong", "10", "billion operations *for every token*"),
    Claim("C", "1 milhão de tokens é igual a cerca de 750.000 palavras", "0.75 for all", "depends on the tokenizer", "loose", "10", "depends on the tokenizer"),
    Claim("C", "precisões inferiores a 7 ou 8 bits", "7 or 8 bits", "Q4_K_M adds 1.4 to 2.8 %", "loose", "10", "That number mixes two things"),
    Claim("C", "menos esforço matemático", "less computing", "less memory traffic", "loose", "10", "less arithmetic only if the hardware computes in that format"),
    Claim("C", "uma poda mais envolvente e seletiva", "pruning", "another model that learns", "wrong", "10", "no: a new model learns from the old one's outputs"),
    Claim("C", "16 bits ou “meia precisão”", 16, FORMATS["fp16"].width, "right", "01", "12.55 GiB in **FP16**, half precision"),
    Claim("C", "após o treinamento” para uma precisão de 8 bits", 8, FORMATS["int8"].width, "right", "02", "Quantizing a trained model is *post-training quantization*"),
    Claim("C", "tipo de dado FP8", 8, FORMATS["fp8_e4m3"].width, "right", "01", "FP8 and the MX family of 4 to 8 bits"),
    Claim("C", "suporta precisão de 4 bits", 4, FORMATS["fp4_e2m1"].width, "right", "01", '"Blackwell, B200 (10.0)": hopper | {"FP4"}'),
    Claim("C", "treinar modelos em “baixa precisão” pode torná-los mais robustos", "more robust", "better at 2 and 3 bits", "loose", "10", "better at 2 and 3 bits"),
    # Beyond quantization
    Claim("D", "requer pelo menos 16 GB de RAM", 16e9, 8_030_261_248 * 2, "right", "14", "LLaMA-3.1-8B in FP16: 16.1 GB"),
    Claim("D", "iPhone com 6 GB de RAM", "no match for the servers", "Q4_K_M fits into 6 GB", "loose", "14", "in Q4_K_M: 4.9 GB"),
    Claim("D", "Android com até 12 GB de RAM", "no match for the servers", "Q8_0 fits into 12 GB", "loose", "14", "in Q8_0: 8.5 GB"),
    Claim("D", "MobileLLM, tem 30 camadas", 30, 30, "right", "14", '"125M": (30, 576, 9, 3, 1536)'),
    Claim("D", "normalmente têm cerca de 12 camadas", 12, 12, "right", "14", "GPT-2 has 12"),
    Claim("D", "têm de 10 a 12 camadas", [10, 12], [12, 12], "loose", "14", "GPT-2 has 12"),
    Claim("D", "125 milhões e 350 milhões de parâmetros", [125, 350], [124.6, 345.4], "loose", "14", "345,355,200"),
    Claim("D", "600 milhões, 1 bilhão e 1,5 bilhão", [600e6, 1e9, 1.5e9], [603188352, 1005461760, 1511188800], "right", "14", "1,511,188,800"),
    Claim("D", "quase 65 vezes mais parâmetros", 65, 8_030_261_248 / 124_635_456, "right", "14", "LLaMA-3-8B has 64 times the parameters"),
    Claim("D", "ambos os modelos tenham cerca de 30 camadas", [30, 30], [32, 30], "loose", "14", "32 layers against 30"),
    Claim("D", "“em profundidade” funciona melhor do que “em largura”", "always", "not at small budgets", "loose", "14", "its handicap at the start disappears"),
    Claim("D", "reutilizar camadas, obtiveram ganhos significativos de eficiência", 1, 2, "wrong", "14", "8 layer calls instead of 4"),
    Claim("D", "ocupava 100 MB poderia ser compactado para apenas 25 MB", 25, 100 * blocks.BITS_PER_WEIGHT["Q8_0"] / 32, "loose", "14", "100 MB of FP32 become 26.6 MB"),
    Claim("D", "requisitos de memória e computacionais são reduzidos significativamente", "smaller and faster", "not one byte, no faster", "loose", "11", "Not one byte smaller and no faster"),
    Claim("D", "resultado igual ou muito próximo do original", "equal or very close", "22 to 37 % lost", "loose", "11", "22% to 37% of the squares lost"),
    Claim("D", "introduzida por Hinton et al. em 2015", 2015, 2015, "right", "13", "arXiv 1503.02531"),
    Claim("D", "Sanh et al. 2019", 2019, 2019, "right", "13", "arXiv 1910.01108"),
    Claim("D", "parâmetros do BERT em 40%", 40, 100 * (1 - 66 / 110), "right", "13", "66 against 110 million parameters: right"),
    Claim("D", "mantendo 97% de seu desempenho", "performance", "mean GLUE score", "loose", "13", "a mean of percentages"),
    Claim("D", "71% mais rápido", 71, 60, "loose", "13", "the paper's abstract says 60 %"),
    Claim("D", "parâmetros do GPT-2 foram reduzidos de 125 milhões para 81 milhões", 81e6, 124_274_362, "wrong", "12", "124.3 million with it"),
    Claim("D", "apenas 10% do conjunto de dados original", 10, 10, "right", "13", "10 % and 3.1 %"),
    Claim("D", "tamanho do modelo diminuiu 35%", 35, 3.6, "wrong", "12", "34.6% or 3.6% fewer"),
    Claim("D", "(com 125 milhões de parâmetros) para 81 milhões", 81e6, 119_933_764, "wrong", "12", "119,933,764 with it"),
    Claim("D", "apenas 3,1% do conjunto de dados", 3.1, 3.1, "right", "12", "3.1 % (KnGPT-2: 10 %)"),
    Claim("D", "cerca de 33 vezes", 33, 1 / 0.031, "loose", "12", "1 ÷ 0.031 = 32"),
    Claim("D", "33 vezes menos tempo para obter", "LLaMA-3, 33 times", "nothing was measured", "loose", "12", "nothing was measured for LLaMA-3"),
    Claim("D", "1,5x", 1.5, 124_439_808 / 119_933_764, "wrong", "12", "119.9 with it: −3.6 %"),
    Claim("D", "alcançamos maior precisão no modelo compactado", "permutations help", "permutations help", "right", "12", "\"Permutations help\" holds here in every case"),
    Claim("D", "reduzindo as camadas do modelo uma por uma", "one by one", "at once was better here", "loose", "12", "All layers at once is better here than layer by layer"),
    Claim("D", "mais compactas e profundas", "deeper", "as many layers", "wrong", "12", "a layer stays a layer: none is added"),
    Claim("D", "perda relativamente pequena de desempenho", "small", "31 to 49 % of perplexity", "loose", "12", "relatively small"),
]  # fmt: skip
