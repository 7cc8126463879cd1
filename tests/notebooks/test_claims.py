"""Every number of the articles: where it stands in a notebook, what we find, and the verdict.

right: ours agrees within 1 %. loose: true with a grain of salt (up to 35 % off, or a condition is missing).
wrong: it is something else. The quotes are looked up in the articles where those are at hand.
"""

import re
from dataclasses import dataclass

import nbformat
import numpy as np
import pytest

from helpers import artifacts
from helpers.numbers import blocks, integers
from helpers.numbers.formats import FORMATS

ROOT = artifacts.ROOT
SEEDS = ROOT.parent / "shared" / "seeds"
LLAMA_7B, TINYLLAMA = 6_738_415_616, 1_100_048_384
ARRAY = np.array([1.2, -0.5, -4.3, 1.2, -3.1, 0.8, 2.4, 5.4])
SYMMETRIC = integers.absmax(ARRAY)


@dataclass(frozen=True)
class Claim:
    seed: str
    quote: str  # a few words of the article, to find the place
    article: object  # what it says
    ours: object  # what we compute
    verdict: str
    notebook: str
    stands: str  # words of the notebook's text or output


CLAIMS = [
    # Memory
    Claim("002", "chama 3 400B", 400e9, 405e9, "loose", "01", "405 billion parameters"),
    Claim("002", "cada parâmetro ocupará 4 bytes", 4, FORMATS["fp32"].width / 8, "right", "01", '"FP32": 32'),
    Claim("002", "400(10e9)4 bytes = 1,6 TB", 1.6e12, 400 * 10e9 * 4, "wrong", "01", "as written 16 TB, as meant 1.6 TB"),
    Claim("002", "20 GPUs com 80 GB", 20, -(-1623.1 // 80), "loose", "01", "405B in FP32 needs 1,623 GB: 21 cards of 80 · 10⁹ bytes"),
    Claim("002", "70(10e9)4 bytes = 280 GB", 280e9, 70 * 10e9 * 4, "wrong", "01", "70B × 4 bytes = 280 GB"),
    Claim("002", "4 GPUs com 80 GB", 4, -(-282.3 // 80), "right", "01", "four cards of 80 GB for 70B in FP32"),
    Claim("002", "70(10e9)0,5 bytes = 35 GB", 35e9, 70 * 10e9 * 0.5, "wrong", "01", "70B × 0.5 bytes = 35 GB"),
    Claim("002", "2 GPUs com 24 GB", 2, -(-37.3 // 24), "right", "01", "two of 24 GB at half a byte each"),
    Claim("000", "mais de 12 GB de VRAM", "FP32", "FP16", "wrong", "01", "12.55 GiB in **FP16**"),
    Claim("000", "cerca de 28 GB no FP32", 28e9, 7e9 * 32 / 8, "right", "01", "28, 14, 7 and 3.5 GB"),
    Claim("000", "cerca de 14 GB mesmo no FP16", 14e9, 7e9 * 16 / 8, "right", "01", "28, 14, 7 and 3.5 GB"),
    Claim("000", "cerca de 7 GB com", 7e9, LLAMA_7B * blocks.BITS_PER_WEIGHT["Q8_0"] / 8, "loose", "01", "its \"about\" is right"),
    Claim("000", "cerca de 4 GB com", 4e9, LLAMA_7B * blocks.BITS_PER_WEIGHT["Q4_0"] / 8, "loose", "03", "So Q4_0 has 4.5 bits per weight"),
    Claim("000", "TinyLlama 1.1B", 1.1e9, TINYLLAMA, "right", "03", "1_100_048_384"),
    Claim("000", "aproximadamente pela metade", 2, 16 / blocks.BITS_PER_WEIGHT["Q8_0"], "loose", "05", "1.88 times, not 2"),
    Claim("000", "alguns GB de tamanho", 2e9, TINYLLAMA * 8.5 / 8, "wrong", "05", "it has 1.17 GB"),
    Claim("000", "significa “quantizar para 8 bits”", 8, blocks.BITS_PER_WEIGHT["Q8_0"], "loose", "03", "8.5 bits per weight"),
    Claim("000", "para 4 bits ou 8 bits", "converter makes 4 bits", "quantizer makes 4 bits", "wrong", "05", "no 4-bit type among them"),
    Claim("000", "formato de arquivo único", 1, "pieces", "loose", "05", "--split-max-size"),
    # Formats
    Claim("000", "2.31384. No FP32, apenas esse número usa 32 bits", 32, FORMATS["fp32"].width, "right", "01", "2.31384 in eight formats"),
    Claim("000", "Talvez isso se torne 2.3", 2.3, float(FORMATS["fp8_e4m3"].round(2.31384)), "loose", "01", "no binary format holds 2.3"),
    Claim("002", "o FP16 é que ele não atinge valores tão altos", True, FORMATS["fp16"].max < FORMATS["fp32"].max, "right", "01", "FP16 ends at 65,504"),
    Claim("002", "mesma quantidade de bits de expoente", 8, FORMATS["tf32"].exponent_bits, "right", "01", "TF32** has the range of FP32"),
    Claim("002", "vantagem de ocupar menos memória", 19, 32, "wrong", "01", "no array of TF32 exists"),
    Claim("002", "TF32 tem um total de 19 bits", 19, FORMATS["tf32"].width, "right", "01", "in 19 bits"),
    Claim("002", "o BF16 tem 16 bits", 16, FORMATS["bf16"].width, "right", "01", "BF16 has the layout of FP32's upper half"),
    Claim("002", "-128 a 127 e de 0 a 255", [-128, 127, 0, 255], [FORMATS["int8"].min, FORMATS["int8"].max, FORMATS["uint8"].min, FORMATS["uint8"].max], "right", "01", "INT8 holds −128 to 127 and UINT8 0 to 255"),
    Claim("002", "cada parâmetro ocupa 1 byte em comparação com os 4 bytes", 4, FORMATS["fp32"].width / FORMATS["int8"].width, "right", "01", '"INT8": 8'),
    Claim("002", "podem representar um pequeno intervalo de números e também apenas números inteiros", "overflow", "a scale removes it", "loose", "01", "A scale removes the overflow"),
    Claim("002", "armazenados em FP16 e são usados para modificar os valores FP32", "enough", "needs loss scaling", "loose", "01", "it is incomplete"),
    # Quantization
    Claim("002", "os limites de UINT8 são -127 e 127", [-127, 127], [0, 255], "wrong", "02", "An unsigned byte holds 0 to 255"),
    Claim("002", "multiplicar 0,3 por 127, o que dá 38,1", 38.1, 0.3 * 127, "right", "02", "0.3 → 38 → 0.29921"),
    Claim("002", "arredondar para 38", 38, int(integers.absmax([0.3, 1]).codes[0]), "right", "02", "0.3 → 38 → 0.29921"),
    Claim("002", "dividir 38 por 127, o que dá 0,2992", 0.2992, 38 / 127, "right", "02", "0.29921"),
    Claim("002", "temos um erro de 0,008", 0.008, 0.3 - 38 / 127, "wrong", "02", "error 0.00079"),
    Claim("002", "o zero de FP32 corresponde ao zero do novo formato", "zero-point", "symmetric", "wrong", "02", "**Both are symmetric.**"),
    Claim("002", "primeiro divida a matriz", "by the maximum", "by the largest magnitude", "wrong", "02", "The scale must come from max |x|"),
    Claim("002", "[1.2, -0.5, -4.3, 1.2, -3.1, 0.8, 2.4, 5.4]", ARRAY.tolist(), ARRAY.tolist(), "right", "02", "[1.2, -0.5, -4.3, 1.2, -3.1, 0.8, 2.4, 5.4]"),
    Claim("002", "valor máximo é 5,4", 5.4, ARRAY.max(), "right", "02", "÷ 5.4"),
    Claim("002", "[0.2222222222, -0.09259259259, -0.7962962963, 0.2222222222, -0.5740740741, 0.1481481481, 0.4444444444, 1]", [0.2222222222, -0.09259259259, -0.7962962963, 0.2222222222, -0.5740740741, 0.1481481481, 0.4444444444, 1], (ARRAY / 5.4).tolist(), "right", "02", "0.2222 -0.0926 -0.7963"),
    Claim("002", "multiplicarmos todos os valores por 127", [28.22222222, -11.75925926, -101.1296296, 28.22222222, -72.90740741, 18.81481481, 56.44444444, 127], (ARRAY / 5.4 * 127).tolist(), "right", "02", "28.222"),
    Claim("002", "[28,22222222, -11.75925926, -101.1296296, 28.22222222, -72.90740741, 18.81481481, 56.44444444, 127]", 127, SYMMETRIC.high, "right", "02", "56.444"),
    Claim("002", "[28, -12, -101, 28, -73, 19, 56, 127]", [28, -12, -101, 28, -73, 19, 56, 127], SYMMETRIC.codes.tolist(), "right", "02", "[28, -12, -101, 28, -73, 19, 56, 127]"),
    Claim("002", "[0,2204724409, -0.09448818898, -0.7952755906, 0.2204724409, -0.5748031496, 0.1496062992, 0.4409448819, 1]", [0.2204724409, -0.09448818898, -0.7952755906, 0.2204724409, -0.5748031496, 0.1496062992, 0.4409448819, 1], (SYMMETRIC.codes / 127).tolist(), "right", "02", "All its numbers are right"),
    Claim("002", "[1,190551181, -0.5102362205, -4.294488189, 1.190551181, -3.103937008, 0.8078740157, 2.381102362, 5.4]", [1.190551181, -0.5102362205, -4.294488189, 1.190551181, -3.103937008, 0.8078740157, 2.381102362, 5.4], SYMMETRIC.dequantize().tolist(), "right", "02", "1.1906 -0.5102 -4.2945"),
    Claim("002", "valor máximo de UINT8", 127, 255, "wrong", "02", "±127 is the part of **INT8**"),
    Claim("002", "Há três maneiras", 3, 4, "loose", "02", "There is at least a fourth"),
    Claim("002", "passagem para frente em dois modelos", 2, 1, "wrong", "02", "it keeps one"),
    # Limits
    Claim("001", "treinada por um longo período em muitos dados", "more data, more damage", "at 2 bits; at 4 not at every step", "loose", "10", "at 4 bits, four times more text"),
    Claim("001", "pode ser melhor apenas treinar um modelo menor", "at some point", "at 2 bits", "loose", "10", "is the *worst* of all after rounding"),
    Claim("001", "“mais prejudicial”", "Llama 3 suffers more", "Llama 3 suffers more", "right", "10", "From Q6_K down Llama-3 loses more"),
    Claim("001", "15 trilhões de tokens", 15e12 / 2e12, 7.5, "right", "10", "15 trillion (both figures"),
    Claim("001", "“apenas” 2 trilhões", 7.5, (15e12 / 8.03e9) / (2e12 / 6.74e9), "loose", "10", "1868 tokens for each parameter"),
    Claim("001", "$191 milhões", 6e9 / 191e6, 31.4, "right", "10", "ratio 31, but one is paid once and the other every year"),
    Claim("001", "50 palavras para metade de todas as consultas", "more expensive", "once against every year", "loose", "10", "days of answering cost as much as the training"),
    Claim("001", "$6 bilhões por ano", 6e9, 6e9, "right", "10", "per_year = 191e6, 6e9"),
    Claim("001", "milhões de cálculos", 1e6, 2 * 7e9, "wrong", "10", "billion operations *for every token*"),
    Claim("001", "1 milhão de tokens é igual a cerca de 750.000 palavras", "0.75 for all", "depends on the tokenizer", "loose", "10", "depends on the tokenizer"),
    Claim("001", "precisões inferiores a 7 ou 8 bits", "7 or 8 bits", "Q4_K_M adds 1.4 to 2.8 %", "loose", "10", "That number mixes two things"),
    Claim("001", "menos esforço matemático", "less computing", "less memory traffic", "loose", "10", "less arithmetic only if the hardware computes in that format"),
    Claim("001", "uma poda mais envolvente e seletiva", "pruning", "another model that learns", "wrong", "10", "no: a new model learns from the old one's outputs"),
    Claim("001", "16 bits ou “meia precisão”", 16, FORMATS["fp16"].width, "right", "01", "FP16"),
    Claim("001", "após o treinamento” para uma precisão de 8 bits", 8, FORMATS["int8"].width, "right", "02", "INT8"),
    Claim("001", "tipo de dado FP8", 8, FORMATS["fp8_e4m3"].width, "right", "01", "FP8"),
    Claim("001", "suporta precisão de 4 bits", 4, FORMATS["fp4_e2m1"].width, "right", "01", "Blackwell"),
    Claim("001", "treinar modelos em “baixa precisão” pode torná-los mais robustos", "more robust", "better at 2 and 3 bits", "loose", "10", "better at 2 and 3 bits"),
    # Beyond quantization
    Claim("003", "requer pelo menos 16 GB de RAM", 16e9, 8_030_261_248 * 2, "right", "14", "LLaMA-3.1-8B in FP16: 16.1 GB"),
    Claim("003", "iPhone com 6 GB de RAM", "no match for the servers", "Q4_K_M fits into 6 GB", "loose", "14", "in Q4_K_M: 4.9 GB"),
    Claim("003", "Android com até 12 GB de RAM", "no match for the servers", "Q8_0 fits into 12 GB", "loose", "14", "in Q8_0: 8.5 GB"),
    Claim("003", "MobileLLM, tem 30 camadas", 30, 30, "right", "14", '"125M": (30, 576, 9, 3, 1536)'),
    Claim("003", "normalmente têm cerca de 12 camadas", 12, 12, "right", "14", "GPT-2 has 12"),
    Claim("003", "têm de 10 a 12 camadas", [10, 12], [12, 12], "loose", "14", "GPT-2 has 12"),
    Claim("003", "125 milhões e 350 milhões de parâmetros", [125, 350], [124.6, 345.4], "loose", "14", "345,355,200"),
    Claim("003", "600 milhões, 1 bilhão e 1,5 bilhão", [600e6, 1e9, 1.5e9], [603188352, 1005461760, 1511188800], "right", "14", "1,511,188,800"),
    Claim("003", "quase 65 vezes mais parâmetros", 65, 8_030_261_248 / 124_635_456, "right", "14", "LLaMA-3-8B has 64 times the parameters"),
    Claim("003", "ambos os modelos tenham cerca de 30 camadas", [30, 30], [32, 30], "loose", "14", "32 layers against 30"),
    Claim("003", "“em profundidade” funciona melhor do que “em largura”", "always", "not at small budgets", "loose", "14", "its handicap at the start disappears"),
    Claim("003", "reutilizar camadas, obtiveram ganhos significativos de eficiência", 1, 2, "wrong", "14", "8 layer calls instead of 4"),
    Claim("003", "ocupava 100 MB poderia ser compactado para apenas 25 MB", 25, 100 * blocks.BITS_PER_WEIGHT["Q8_0"] / 32, "loose", "14", "100 MB of FP32 become 26.6 MB"),
    Claim("003", "requisitos de memória e computacionais são reduzidos significativamente", "smaller and faster", "not one byte, no faster", "loose", "11", "Not one byte smaller and no faster"),
    Claim("003", "resultado igual ou muito próximo do original", "equal or very close", "22 to 37 % lost", "loose", "11", "22% to 37% of the squares lost"),
    Claim("003", "introduzida por Hinton et al. em 2015", 2015, 2015, "right", "13", "arXiv 1503.02531"),
    Claim("003", "Sanh et al. 2019", 2019, 2019, "right", "13", "arXiv 1910.01108"),
    Claim("003", "parâmetros do BERT em 40%", 40, 100 * (1 - 66 / 110), "right", "13", "66 against 110 million parameters: right"),
    Claim("003", "mantendo 97% de seu desempenho", "performance", "mean GLUE score", "loose", "13", "a mean of percentages"),
    Claim("003", "71% mais rápido", 71, 60, "loose", "13", "the paper's abstract says 60 %"),
    Claim("003", "parâmetros do GPT-2 foram reduzidos de 125 milhões para 81 milhões", 81e6, 124_274_362, "wrong", "12", "124.3 million with it"),
    Claim("003", "apenas 10% do conjunto de dados original", 10, 10, "right", "13", "10 % and 3.1 %"),
    Claim("003", "tamanho do modelo diminuiu 35%", 35, 3.6, "wrong", "12", "34.6% or 3.6% fewer"),
    Claim("003", "(com 125 milhões de parâmetros) para 81 milhões", 81e6, 119_933_764, "wrong", "12", "119,933,764 with it"),
    Claim("003", "apenas 3,1% do conjunto de dados", 3.1, 3.1, "right", "12", "3.1 % (KnGPT-2: 10 %)"),
    Claim("003", "cerca de 33 vezes", 33, 1 / 0.031, "loose", "12", "1 ÷ 0.031 = 32"),
    Claim("003", "33 vezes menos tempo para obter", "LLaMA-3, 33 times", "nothing was measured", "loose", "12", "nothing was measured for LLaMA-3"),
    Claim("003", "1,5x", 1.5, 124_439_808 / 119_933_764, "wrong", "12", "119.9 with it: −3.6 %"),
    Claim("003", "alcançamos maior precisão no modelo compactado", "permutations help", "permutations help", "right", "12", "\"Permutations help\" holds here in every case"),
    Claim("003", "reduzindo as camadas do modelo uma por uma", "one by one", "at once was better here", "loose", "12", "All layers at once is better here than layer by layer"),
    Claim("003", "mais compactas e profundas", "deeper", "as many layers", "wrong", "12", "a layer stays a layer: none is added"),
    Claim("003", "perda relativamente pequena de desempenho", "small", "31 to 49 % of perplexity", "loose", "12", "relatively small"),
]  # fmt: skip
# What is no claim: picture numbers of the page, and the address of the file in the article's example.
NO_CLAIM = r"link image \d+|aumento de 48%|modelos com 100-200 milhões|125 milhões de parâmetros, MobileLLM|MobileLLM-125M|Qwen2|Gemma-2|float32|int8|com até ou cerca de 1 bilhão|menos de 1 bilhão|superiores a 1 bilhão|modelos com parâmetros de 125M|corrida de 100 metros|FP\d|tinyllama-1\.1b-chat\.Q8_0\.gguf|chama 3 400B|FLUX\.1\S*|Q[48]_0|q8_0|\d\. [A-Z]\w+"


def pages(number: str) -> str:
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        found.append(cell.source)
        for output in cell.get("outputs", []):
            found += [output.get("text", ""), *(v for v in output.get("data", {}).values() if isinstance(v, str))]
    return "\n".join(found)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: f"{c.seed}: {c.quote[:40]}")
class TestClaim:
    def test_verdict_follows_from_the_numbers(self, claim):
        assert claim.verdict in ("right", "loose", "wrong")
        try:
            article, ours = np.asarray(claim.article, float), np.asarray(claim.ours, float)
        except (TypeError, ValueError):
            assert (claim.article == claim.ours) == (claim.verdict == "right")
            return
        off = float(np.max(np.abs(article - ours) / np.abs(np.where(ours == 0, 1, ours))))
        assert (
            off <= 0.01 if claim.verdict == "right" else off > 0.01 if claim.verdict == "wrong" else 0.01 < off < 0.35
        )

    def test_it_stands_in_the_notebook(self, claim):
        def squeeze(text: str) -> str:
            return " ".join(text.split())

        assert squeeze(claim.stands) in squeeze(pages(claim.notebook))

    def test_it_is_quoted_from_the_article(self, claim):
        if not SEEDS.exists():
            pytest.skip("the articles are not part of the repository")
        (path,) = SEEDS.glob(f"{claim.seed}_*.txt")
        assert claim.quote in path.read_text()


@pytest.mark.parametrize("seed", ["000", "001", "002", "003"])
def test_no_number_of_the_article_is_left_out(seed):
    if not SEEDS.exists():
        pytest.skip("the articles are not part of the repository")
    (path,) = SEEDS.glob(f"{seed}_*.txt")
    text = path.read_text().split("Últimos posts")[0].split("Deixe um comentário")[0].split("Conteúdo relacionado")[0]
    text = re.sub(NO_CLAIM, "", text)
    text = re.sub(r"\b(FP|BF|TF|INT)\d+|UINT8|[Qq]\d_\d", "", text)
    quotes = " ".join(claim.quote + f" {claim.article}" for claim in CLAIMS if claim.seed == seed)
    for number in re.findall(r"\d[\d.,]*\d|\d", text):
        assert number in quotes or number.replace(",", ".") in quotes, number
