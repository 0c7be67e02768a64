"""What the metrics of explanations say, in a few words each."""

MEANINGS = {
    "comprehensiveness": "how much the probability falls without the most important pixels",
    "sufficiency": "how much it falls with nothing but them",
    "deletion_auc": "the area under the curve of deletion",
    "insertion_auc": "the area under the curve of insertion",
    "soft_comprehensiveness": "how much it falls if each pixel fades by its importance",
    "soft_sufficiency": "how much it falls if each pixel stays by its importance",
    "average_drop": "the part of it that is lost on the image times the map",
    "increase": "whether it rises on the image times the map",
    "adcc": "one number of drop, coherency and complexity",
    "road": "unimportant pixels removed minus important ones removed, with holes filled from around them",
    "max_sensitivity": "how much the map changes with a little noise on the image",
    "faithfulness_correlation": "whether a tenth of the pixels says by its values how the probability falls without it",
    "energy_inside": "the share of the map's mass inside the object",
    "pointing_game": "whether the map's maximum lies inside the object",
    "rank_accuracy": "the share of the object's number of most important pixels that lie inside it",
    "top_k_inside": "the share of the most important tenth of the pixels that lies inside the object",
    "roc_auc": "how well the map tells the object's pixels from the others",
    "average_precision": "the map as a detector of the object's pixels",
    "gini": "how few pixels hold the map's mass",
    "entropy": "how evenly the map's mass is spread",
}
