from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('station', '0004_record_names'),
    ]

    operations = [
        migrations.AddField(
            model_name='chargingsession',
            name='stop_requested_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
