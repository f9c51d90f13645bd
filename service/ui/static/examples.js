// Examples for the models of the zoo: a newcomer's first answer costs one click.

export const TEXTS = [
  "The chancellor raised interest rates again, and shares fell.",
  "The striker scored twice in the cup final.",
  "A new phone learns what its owner says.",
];

export const LANGUAGES = ["Where is the station?", "Wo ist der Bahnhof?", "Où est la gare ?"];

/** An utterance of the Japanese Vowels data: 16 steps of 12 numbers. */
export const SEQUENCE = `0.34,-0.73,0.561,-0.909,-0.078,-0.381,-0.208,0.433,-0.323,-0.261,0.138,0.038
0.485,-0.777,0.523,-0.894,-0.024,-0.344,-0.211,0.43,-0.374,-0.319,0.144,0.056
0.551,-0.776,0.465,-0.872,0.024,-0.32,-0.205,0.399,-0.394,-0.355,0.115,0.083
0.608,-0.783,0.385,-0.859,0.111,-0.318,-0.217,0.373,-0.406,-0.364,0.071,0.107
0.602,-0.832,0.324,-0.803,0.201,-0.321,-0.238,0.348,-0.432,-0.378,0.061,0.13
0.592,-0.891,0.302,-0.733,0.289,-0.296,-0.282,0.292,-0.45,-0.363,0.07,0.132
0.569,-0.899,0.278,-0.67,0.427,-0.28,-0.344,0.243,-0.48,-0.346,0.077,0.14
0.528,-0.9,0.27,-0.626,0.523,-0.278,-0.368,0.206,-0.527,-0.323,0.088,0.13
0.512,-0.932,0.256,-0.583,0.563,-0.277,-0.387,0.161,-0.548,-0.289,0.102,0.11
0.571,-0.986,0.227,-0.533,0.574,-0.294,-0.41,0.116,-0.54,-0.238,0.116,0.09
0.607,-0.975,0.251,-0.465,0.581,-0.316,-0.445,0.071,-0.521,-0.181,0.145,0.055
0.634,-1.011,0.298,-0.396,0.556,-0.313,-0.465,0.039,-0.501,-0.147,0.157,0.024
0.583,-1.037,0.372,-0.33,0.549,-0.316,-0.474,0.027,-0.477,-0.11,0.152,-0.035
0.442,-1.009,0.424,-0.247,0.592,-0.354,-0.457,0.024,-0.453,-0.066,0.105,-0.102
0.341,-1.018,0.45,-0.175,0.619,-0.361,-0.396,-0.008,-0.441,-0.038,0.031,-0.138
0.257,-1.072,0.489,-0.126,0.634,-0.341,-0.356,-0.024,-0.453,-0.021,-0.003,-0.191`;

/** A pair of trousers, drawn here: grey on black, as the pictures of Fashion-MNIST are. */
export function drawTrousers() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 112;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, 112, 112);
  pen.fillStyle = "#c8c8c8";
  pen.beginPath();
  for (const [x, y] of [[38, 6], [74, 6], [80, 106], [62, 106], [56, 36], [50, 106], [32, 106]]) pen.lineTo(x, y);
  pen.fill();
  return new Promise((resolve) => {
    canvas.toBlob((blob) => resolve(new File([blob], "trousers.png", { type: "image/png" })), "image/png");
  });
}
